"""Feature drift since the base session (LEC-Net, Figure 7), one panel per layer."""

from __future__ import annotations

import pandas as pd

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.ends import height_of, spread_ends, write_ends
from benchmarks.report.figures.lines import fit, is_cut
from benchmarks.report.figures.numbers import check_even, interval_note, summarise
from benchmarks.report.figures.over_sessions import draw_sessions, ends_of, in_order
from benchmarks.report.figures.style import add_note, looks, new_figure, settle, styled

HEIGHT = 1.6  # minimum height of a panel in inches


@styled
def drift(table: pd.DataFrame, title: str = "", ylabel: str = "drift (degrees)") -> Drawing:
    """`table` has columns label, seed, session, layer, degrees. All panels share both axes, so that layers can be compared."""
    numbers = summarise(table, ["layer", "label", "session"], "degrees").assign(source="measured")
    check_even(numbers, ["layer", "label"])
    look = looks(table["label"])
    parts = {str(layer): part for layer, part in numbers.groupby("layer", sort=False)}
    ends = {layer: ends_of(part, look) for layer, part in parts.items()}
    high = max(HEIGHT, *(height_of(some) for some in ends.values()))
    figure = new_figure(len(parts) * (high + 0.35) + 0.9, title)
    panels = figure.subplots(len(parts), 1, sharex=True, sharey=True, squeeze=False).ravel()
    names = []
    for axes, (layer, part) in zip(panels, parts.items(), strict=True):
        draw_sessions(axes, part, look)
        axes.set_title(layer, loc="left")
        axes.set_ylabel(ylabel)
        names.append(write_ends(axes, ends[layer]))
    fit(panels[0], numbers)  # applies to all panels: they share the y axis
    panels[0].set_ylim(bottom=0)  # an angle: 0 means no drift
    panels[-1].set_xlabel("session")
    add_note(figure, interval_note(numbers, "Bands", is_cut(panels[0], numbers)))
    settle(figure)
    for axes, some, written in zip(panels, ends.values(), names, strict=True):
        spread_ends(axes, some, written)
    ordered = [in_order(part, look) for part in parts.values()]
    return Drawing(figure, pd.concat(ordered, ignore_index=True).drop(columns="source").rename(columns={"mean": "degrees"}))
