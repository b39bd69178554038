"""LEC-Net's gates during the training of a session (Figure 6)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.lines import draw_band
from benchmarks.report.figures.numbers import check, interval_note, summarise
from benchmarks.report.figures.style import BLUE, DASHES, GREEN, VERMILLION, Look, add_note, new_figure, settle, styled

BINS = tuple(f"b{n}" for n in range(10))
"""Columns with the share of nodes whose alpha is in each of ten equal bins from 0 to 1."""
LINES = {"mean": "mean α", "tau": "τ", "saturated": "share saturated"}
LOOK = {"mean": Look(BLUE, "", DASHES[0]), "tau": Look(VERMILLION, "", DASHES[1]), "saturated": Look(GREEN, "", DASHES[3])}


@styled
def gate_evolution(traces: pd.DataFrame, title: str = "", sessions: Sequence[int] | None = None) -> Drawing:
    """`traces` has columns session, seed, epoch, mean, tau, open, saturated, b0 to b9. Draws `sessions`, by default the first,
    middle and last.

    A line that is entirely NaN is not drawn, since not every variant has a tau. Seeds that stopped early count only in the means
    of the epochs that they have; the CSV gives the number of seeds. Raises ValueError for a session without traces.
    """
    check(traces, ["session", "seed", "epoch", *LINES, "open", *BINS])
    chosen = choose(sorted(traces["session"].unique())) if sessions is None else list(sessions)
    if missing := [session for session in chosen if not (traces["session"] == session).any()]:
        raise ValueError(f"no trace of session {', '.join(map(str, missing))}")
    numbers = means_of(traces[traces["session"].isin(chosen)])
    figure = new_figure(3.9, title)
    grid = figure.subplots(2, len(chosen), sharex="col", sharey="row", squeeze=False, height_ratios=(1, 1))
    for column, session in enumerate(chosen):
        part = numbers[numbers["session"] == session]
        heat, below = grid[0, column], grid[1, column]
        image = draw_bins(heat, part, numbers[list(BINS)].to_numpy(float).max())
        heat.set_title(f"session {session}", loc="left")
        draw_lines(below, part)
        below.set_xlabel("epoch")
        below.xaxis.set_major_locator(MaxNLocator(nbins=8 // len(chosen), integer=True))
    grid[0, 0].set(ylabel="gate α", yticks=(0, 0.5, 1))
    grid[1, 0].set(ylabel="share", ylim=(-0.02, 1.02), yticks=(0, 0.5, 1))
    figure.colorbar(image, ax=list(grid[0]), label="share of nodes", shrink=0.95, pad=0.02)
    drawn = [name for name in LINES if name in numbers and numbers[name].notna().any()]
    handles = [Line2D([], [], color=LOOK[name].color, linestyle=LOOK[name].dash, label=LINES[name]) for name in drawn]
    early = numbers.groupby("session")["seeds"].nunique().max() > 1
    add_note(figure, interval_note(numbers, "Bands"), "Where seeds stopped early, the others go on." if early else "", handles=handles)
    settle(figure)
    return Drawing(figure, numbers)


def choose(sessions: Sequence[int]) -> list[int]:
    """The first, middle and last session."""
    return sorted({int(sessions[0]), int(sessions[(len(sessions) - 1) // 2]), int(sessions[-1])})


def means_of(traces: pd.DataFrame) -> pd.DataFrame:
    """One row per session and epoch: seeds, means, and half-widths of the values drawn as lines."""
    by = ["session", "epoch"]
    numbers = traces[by].drop_duplicates().sort_values(by).merge(traces.groupby(by)["seed"].nunique().rename("seeds").reset_index(), on=by)
    for name in (*LINES, "open", *BINS):
        if traces[name].notna().any():
            column = summarise(traces, by, name).rename(columns={"mean": name, "half_width": f"{name}_half_width"}).drop(columns="seeds")
            numbers = numbers.merge(column if name in LINES else column.drop(columns=f"{name}_half_width"), on=by, how="left")
    return numbers


def draw_bins(axes: Axes, part: pd.DataFrame, most: float) -> AxesImage:
    """Draw a heat map: epochs from left to right, alpha from 0 (bottom) to 1."""
    first, last = part["epoch"].min(), part["epoch"].max()
    image = axes.imshow(
        part.set_index("epoch").reindex(range(first, last + 1))[list(BINS)].to_numpy(float).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",  # no blending between bins
        extent=(first - 0.5, last + 0.5, 0, 1),
        cmap=paper(),
        vmin=0,
        vmax=most,
    )
    axes.grid(False)
    return image


def paper() -> Colormap:
    """The colour map cividis reversed, faded to white at its low end: 0 is white, high values are dark."""
    colors = matplotlib.colormaps["cividis_r"](np.linspace(0, 1, 240))
    fade = np.linspace(1, 0, 40)[:, None] * (1 - colors[:40])
    colors[:40] += fade
    return ListedColormap(colors)


def draw_lines(axes: Axes, part: pd.DataFrame) -> None:
    for name in LINES:
        if name in part and part[name].notna().any():
            x, mean, half_width = (part[column].to_numpy(float) for column in ("epoch", name, f"{name}_half_width"))
            axes.plot(x, mean, color=LOOK[name].color, linestyle=LOOK[name].dash, marker="o" if len(x) == 1 else None)
            draw_band(axes, x, mean, half_width, LOOK[name])
