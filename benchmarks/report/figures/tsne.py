"""t-SNE of features after the last session (LEC-Net, Figure 9), one panel per variant."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.lines import Line2D

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.numbers import check
from benchmarks.report.figures.style import add_note, new_figure, settle, styled

ACROSS = 2  # panels per row
BASE = "#bdbdbd"
NOVEL = "#444444"


@styled
def tsne(points: pd.DataFrame, title: str = "") -> Drawing:
    """`points` has columns label, x, y, session. Base classes (session 0) are grey dots; novel ones are triangles, later ones darker."""
    check(points, ["label", "x", "y", "session"])
    if points[["x", "y", "session"]].isna().any(axis=None):
        raise ValueError("a point needs numbers for x, y and session")
    parts = {str(label): part for label, part in points.groupby("label", sort=False)}
    novel = sorted(int(session) for session in points["session"].unique() if session)
    colors = shades(len(novel))
    rows, columns = -(-len(parts) // ACROSS), min(ACROSS, len(parts))
    figure = new_figure(rows * (5.2 / columns * 0.8) + 1.0, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(panels):
        axes.set_visible(number < len(parts))
    for axes, (label, part) in zip(panels, parts.items(), strict=False):
        draw_points(axes, part, novel, colors)
        axes.set_title(label, loc="left")
    drawn = list(panels[: len(parts)])
    if novel:
        scale = ScalarMappable(BoundaryNorm(np.arange(len(novel) + 1) - 0.5, len(novel)), colors)
        bar = figure.colorbar(scale, ax=drawn, label="session of the novel class", orientation="horizontal", aspect=40, pad=0.03)
        bar.set_ticks(list(range(len(novel))), labels=list(map(str, novel)))
        bar.ax.tick_params(length=0)
        bar.outline.set_visible(False)
    keys = [Line2D([], [], color=BASE, marker="o", markersize=3, linestyle="none", label="base class")]
    keys += [Line2D([], [], color=NOVEL, marker="^", linestyle="none", label="novel class")] if novel else []
    add_note(figure, handles=keys)
    settle(figure)
    return Drawing(figure, points[["label", "session", "x", "y"]].reset_index(drop=True))


def shades(count: int) -> Colormap:
    """The colour map plasma from orange to deep blue, without its yellow end, which is invisible on white."""
    return ListedColormap(matplotlib.colormaps["plasma_r"](np.linspace(0.3, 1, max(count, 1))))


def draw_points(axes: Axes, part: pd.DataFrame, novel: list[int], colors: Colormap) -> None:
    base, rest = part[part["session"] == 0], part[part["session"] != 0]
    axes.scatter(base["x"], base["y"], s=6, color=BASE, linewidths=0)
    shade = colors([novel.index(int(session)) for session in rest["session"]])
    axes.scatter(rest["x"], rest["y"], s=5, c=shade, marker="^", linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(True)
