"""A number against a parameter, one panel per session (LEC-Net, Figure 5). The best value is marked, and whether it is significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.metrics.statistics import EQUAL, FEWEST_TO_TEST, mean_and_half_width, paired_differences
from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.lines import draw_level, draw_line, fit, is_cut
from benchmarks.report.figures.numbers import interval_note, number_of, of_common_seeds, summarise
from benchmarks.report.figures.over_axis import LEVELS, ticks_at, words_of
from benchmarks.report.figures.style import BLACK, BLUE, DASHES, GREEN, PURPLE, TEXT, VERMILLION, Look, add_note, new_figure, settle, styled

PANEL = 1.25  # height in inches
LINE = Look(BLUE, "o", DASHES[0])
STAR = "#E69F00"
STARS = (
    "Star: the best setting; filled where it is ahead of the runner-up (95 % interval of the paired difference), hollow where noise "
    "may have picked it."
)
MARK: dict[str, Any] = {
    "marker": "*",
    "markersize": 11,
    "linestyle": "none",
    "markeredgecolor": BLACK,
    "markeredgewidth": 0.8,
    "zorder": 5,
    "clip_on": False,
}


@styled
def sessions_over_axis(table: pd.DataFrame, xlabel: str, ylabel: str, title: str = "") -> Drawing:
    """`table` has columns label (a number as text; any other text is a horizontal line), seed, session, value. One panel per session.

    The y axes of all panels span the same number of percentage points, so that slopes can be compared.
    """
    table = of_common_seeds(table, ["session", "label"])
    numbers = summarise(table, ["session", "label"])
    numbers["x"] = numbers["label"].astype(str).map(number_of)
    numbers = numbers.sort_values(["session", "x"], kind="stable").reset_index(drop=True)
    words = list(dict.fromkeys(numbers.loc[numbers["x"].isna(), "label"]))
    colors = (VERMILLION, GREEN, PURPLE)
    look = {word: Look(colors[n % len(colors)], "", LEVELS[n % len(LEVELS)]) for n, word in enumerate(words)}
    best = {session: best_of(table[table["session"] == session], part) for session, part in numbers.groupby("session")}
    across = min((1, 3, 2) if len(best) == 1 else (3, 2), key=lambda columns: -len(best) % columns)  # fewest empty panels
    rows = -(-len(best) // across)
    figure = new_figure(rows * (PANEL + 0.3) + 1.2, title)
    panels = figure.subplots(rows, across, sharex=True, squeeze=False).ravel()
    for axes, (session, part) in zip(panels, numbers.groupby("session"), strict=False):
        draw_panel(axes, part, look, best[session])
        fit(axes, part)
        axes.set_title(f"session {session}", loc="left")
    for number, axes in enumerate(panels):
        axes.set_visible(number < len(best))
        axes.tick_params(labelbottom=number + across >= len(best))  # the lowest panel of each column, even if the last row is not full
    same_span(list(panels[: len(best)]))
    cut = any(is_cut(axes, part) for axes, (_, part) in zip(panels, numbers.groupby("session"), strict=False))
    at = numbers[numbers["x"].notna()]
    ticks_at(panels[0], at["x"], at["label"], 4.2 / across - 0.3)
    lines = [Line2D([], [], color=look[word].color, linestyle=look[word].dash, label=word) for word in words]
    stars = STARS if any(best.values()) else ""
    strip = add_note(figure, interval_note(numbers, "Bands", cut), stars, handles=lines, xlabel=xlabel)
    figure.supylabel(ylabel, y=(1 + strip) / 2, fontsize=TEXT)
    settle(figure)
    numbers["best"] = [best[session].mark(label) for session, label in zip(numbers["session"], numbers["label"], strict=True)]
    return Drawing(figure, numbers.drop(columns="x"))


@dataclass(frozen=True)
class Best:
    """The numeric label with the highest mean, and whether it is significantly ahead of the next one."""

    label: str | None
    ahead: bool = False

    def __bool__(self) -> bool:
        return self.label is not None

    def mark(self, label: str) -> str:
        return "" if label != self.label else "ahead" if self.ahead else "within noise"


def best_of(table: pd.DataFrame, numbers: pd.DataFrame) -> Best:
    """The best label. It is ahead if the 95 % interval of its paired difference to the runner-up is above zero.

    If the two highest means are equal, or there are fewer than two numeric labels, no label is best. As in the tables, no label is
    ahead with fewer than three shared seeds or if the differences have no spread.
    """
    order = numbers[numbers["x"].notna()].sort_values("mean", ascending=False, kind="stable")
    ranked = order["label"].tolist()
    if len(ranked) < 2 or np.ptp(order["mean"].to_numpy(float)[:2]) <= EQUAL:
        return Best(None)
    first, second = (table[table["label"] == label].dropna().set_index("seed")["value"].to_dict() for label in ranked[:2])
    shared = first.keys() & second.keys()
    if len(shared) < FEWEST_TO_TEST:
        return Best(ranked[0])
    differences = paired_differences({seed: first[seed] for seed in shared}, {seed: second[seed] for seed in shared})
    mean, half_width = mean_and_half_width(list(differences))
    return Best(ranked[0], ahead=bool(np.ptp(differences) > EQUAL and mean - half_width > 0))


def draw_panel(axes: Axes, part: pd.DataFrame, look: Mapping[str, Look], best: Best) -> None:
    points = part[part["x"].notna()]
    x, mean, half_width = (points[column].to_numpy(float) for column in ("x", "mean", "half_width"))
    if len(points):
        draw_line(axes, x, mean, half_width, LINE)
    for word, level, band, _ in words_of(part.assign(source="measured")):
        draw_level(axes, level, band, look[word])
    if best:
        top = points[points["label"] == best.label].iloc[0]
        axes.plot(top["x"], top["mean"], markerfacecolor=STAR if best.ahead else "white", **MARK)


def same_span(panels: Sequence[Axes]) -> None:
    """Give all panels the span of the largest y range, each around its own centre."""
    limits = [axes.get_ylim() for axes in panels]
    half = max(high - low for low, high in limits) / 2
    for axes, (low, high) in zip(panels, limits, strict=True):
        axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)
