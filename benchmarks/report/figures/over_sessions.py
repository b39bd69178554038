"""A number after each session (accuracy, harmonic mean or drift), one line per label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.ends import End, height_of, spread_ends, write_ends
from benchmarks.report.figures.lines import draw_line, draw_points, fit, is_cut
from benchmarks.report.figures.numbers import check_even, interval_note, published_note, summarise, with_published
from benchmarks.report.figures.style import BAND, BAND_OF_MANY, MANY, Look, add_note, looks, new_figure, settle, styled, whole_ticks

HEIGHT = 2.5  # minimum height of the axes in inches
APART = 14.0  # points


@styled
def over_sessions(table: pd.DataFrame, ylabel: str, title: str = "", published: pd.DataFrame | None = None) -> Drawing:
    """`table` has columns label, seed, session, value. `published` has label, session, value; it is drawn hollow, in the label's colour.

    A label that was published but not measured gets its own line.
    """
    measured = summarise(table, ["label", "session"])
    check_even(measured, ["label"])
    numbers = with_published(measured, published, ["label", "session"])
    look = looks(numbers["label"])
    ends = ends_of(numbers, look)
    figure = new_figure(max(HEIGHT, height_of(ends)) + 1.1, title)
    axes = figure.add_subplot()
    draw_sessions(axes, numbers, look)
    axes.set(xlabel="session", ylabel=ylabel)
    what = "Bands" if measured["session"].nunique() > 1 else "Bars"
    add_note(figure, interval_note(measured, what, is_cut(axes, numbers)), published_note(numbers))
    names = write_ends(axes, ends)
    settle(figure)
    spread_ends(axes, ends, names)
    return Drawing(figure, in_order(numbers, look))


def draw_sessions(axes: Axes, numbers: pd.DataFrame, look: Mapping[str, Look]) -> None:
    for (source, label), line in numbers.groupby(["source", "label"], sort=False):
        line = line.sort_values("session")
        x, mean, half_width = (line[column].to_numpy(float) for column in ("session", "mean", "half_width"))
        of_line = replace(look[str(label)], published=source == "published")
        if numbers["session"].nunique() == 1:
            draw_points(axes, x, mean, half_width, of_line, shift_of(str(label), look))
        else:
            draw_line(axes, x, mean, half_width, of_line, BAND_OF_MANY if len(look) > MANY else BAND)
    whole_ticks(axes, numbers["session"])
    axes.margins(x=0.03)
    fit(axes, numbers)


def shift_of(label: str, look: Mapping[str, Look]) -> float:
    """Sideways shift in points, used if there is only one session, so that the labels do not overlap."""
    return (list(look).index(label) - (len(look) - 1) / 2) * APART


def ends_of(numbers: pd.DataFrame, look: Mapping[str, Look]) -> list[End]:
    """One end per label: that of its measured line, else that of its published line."""
    ends = []
    for label in look:
        line = numbers[numbers["label"] == label].sort_values(["source", "session"])  # measured before published
        if len(line):
            last = line[line["source"] == line["source"].iloc[0]].iloc[-1]
            published = last["source"] == "published"
            text = label + " (published)" * published
            shift = shift_of(label, look) if numbers["session"].nunique() == 1 else 0.0
            ends.append(End(text, float(last["session"]), float(last["mean"]), replace(look[label], published=published), shift=shift))
    return ends


def in_order(numbers: pd.DataFrame, look: Mapping[str, Look]) -> pd.DataFrame:
    """Sorts rows by source, then label in the order of the input, then session."""
    ranks = {label: n for n, label in enumerate(look)}
    order = numbers.assign(rank=numbers["label"].map(ranks)).sort_values(["source", "rank", "session"], kind="stable").index
    columns = ["label", "session", "mean", "half_width", "seeds", "source"]
    return numbers.loc[order, [*(c for c in numbers.columns if c not in columns), *columns]].reset_index(drop=True)
