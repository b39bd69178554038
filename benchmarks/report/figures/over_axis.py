"""A number against a parameter (LEC-Net's Table 3, Figures 5 and 8). A setting such as "learned" is a horizontal line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.ends import End, height_of, spread_ends, write_ends
from benchmarks.report.figures.lines import draw_level, draw_points, fit, is_cut
from benchmarks.report.figures.numbers import check, interval_note, number_of, of_common_seeds, published_note, summarise, with_published
from benchmarks.report.figures.style import DASHES, SMALL, Dash, Look, add_note, looks, new_figure, settle, styled

HEIGHT = 2.5  # minimum height of the axes in inches
LEVELS = (DASHES[2], DASHES[3], DASHES[1])  # dashes of horizontal lines, one per word
WIDE = 3.0  # approximate width of the axes in inches
DIGIT = 0.64 * SMALL / 72  # width of a digit in inches
APART = 2.0  # points between the bars of two series at one x


@styled
def over_axis(table: pd.DataFrame, xlabel: str, ylabel: str, title: str = "", published: pd.DataFrame | None = None) -> Drawing:
    """`table` has columns label, seed, value and, for several lines, series. `published` has label, value and optionally series.

    A label that is a number is a point. Any other, such as "learned", is a horizontal line with its band and its name.
    """
    if "series" not in table:
        table = table.assign(series="")
    if published is not None and "series" not in published:
        published = published.assign(series="")
    check(table, ["series", "label", "seed", "value"])
    lines = [of_common_seeds(line, ["label"]) for _, line in table.groupby("series", sort=False)]
    measured = summarise(pd.concat(lines), ["series", "label"])
    numbers = with_published(measured, published, ["series", "label"])
    numbers["x"] = numbers["label"].astype(str).map(number_of)
    look = looks(numbers["series"])
    at, words = numbers[numbers["x"].notna()], list(dict.fromkeys(numbers.loc[numbers["x"].isna(), "label"]))
    levels = {word: LEVELS[n % len(LEVELS)] for n, word in enumerate(words)}
    ends = ends_of(numbers, look, levels)
    figure = new_figure(max(HEIGHT, height_of(ends)) + 1.1, title)
    axes = figure.add_subplot()
    for rank, (series, of_series) in enumerate(look.items()):
        draw_series(axes, numbers[numbers["series"] == series], of_series, levels, (rank - (len(look) - 1) / 2) * APART)
    fit(axes, numbers)
    ticks_at(axes, at["x"], at["label"], WIDE)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    add_note(figure, interval_note(measured, "Bars and bands" if words else "Bars", is_cut(axes, numbers)), published_note(numbers))
    names = write_ends(axes, ends)
    settle(figure)
    spread_ends(axes, ends, names)
    numbers["rank"] = numbers["series"].map({series: rank for rank, series in enumerate(look)})
    columns = ["series", "label", "mean", "half_width", "seeds", "source"][not any(look) :]
    return Drawing(figure, numbers.sort_values(["source", "rank", "x"], kind="stable")[columns].reset_index(drop=True))


def draw_series(axes: Axes, numbers: pd.DataFrame, look: Look, levels: Mapping[str, Dash], shift: float) -> None:
    for source, line in numbers[numbers["x"].notna()].groupby("source", sort=False):
        line = line.sort_values("x")
        x, mean, half_width = (line[column].to_numpy(float) for column in ("x", "mean", "half_width"))
        published = source == "published"
        draw_points(axes, x, mean, half_width, replace(look, published=published), 0.0 if published else shift)
    for word, level, band, source in words_of(numbers):
        draw_level(axes, level, band, replace(look, dash=levels[word], published=source == "published"))


def words_of(numbers: pd.DataFrame) -> Iterator[tuple[str, float, float, str]]:
    """Label, mean, half-width and source of the rows without an x."""
    yield from numbers.loc[numbers["x"].isna(), ["label", "mean", "half_width", "source"]].itertuples(index=False, name=None)


def ends_of(numbers: pd.DataFrame, look: Mapping[str, Look], levels: Mapping[str, Dash]) -> list[End]:
    """One end for each line: for each series and for each word of a series."""
    ends = []
    for series, of_series in look.items():
        lines = numbers[numbers["series"] == series]
        points = lines[lines["x"].notna()].sort_values(["source", "x"])  # measured before published
        if series and len(points):
            last = points[points["source"] == points["source"].iloc[0]].iloc[-1]
            published = last["source"] == "published"
            text = series + " (published)" * published
            ends.append(End(text, float(last["x"]), float(last["mean"]), replace(of_series, published=published)))
        for word, mean, _, source in words_of(lines):
            published = source == "published"
            details = [series] * bool(series and len(look) > 1) + ["published"] * published
            text = word + (f" ({', '.join(details)})" if details else "")
            of_word = replace(of_series, dash=levels[word], published=published)
            ends.append(End(text, math.nan, mean, of_word, marker=False))
    return ends


def ticks_at(axes: Axes, x: pd.Series, labels: pd.Series, wide: float) -> None:
    """Set ticks at the parameter values, labelled as written. On axes of about `wide` inches, ticks without room are left out."""
    known = dict(sorted(zip(x, labels.astype(str), strict=True)))
    per_inch = np.ptp(list(known)) * 1.1 / wide if known else 0.0
    kept: list[float] = []
    for place, text in known.items():
        if not kept or place - kept[-1] >= per_inch * (DIGIT * (len(text) + len(known[kept[-1]])) / 2 + DIGIT):
            kept.append(place)
    axes.set_xticks(kept, [known[place] for place in kept])
