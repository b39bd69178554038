"""Labels beside the ends of lines. They are moved apart if they would overlap, and keep their order."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from benchmarks.report.figures.style import LINE_OF_TEXT, SMALL, TEXT, Look

WRAP = 20  # characters per text line
LEADER, SAMPLE, GAP = 12.0, 24.0, 4.0  # points: width of the leader to the label, of the line sample before it, of the gap


@dataclass(frozen=True)
class End:
    text: str
    x: float  # NaN: the right edge of the axes
    y: float
    look: Look
    marker: bool = True
    shift: float = 0.0  # points by which its line was moved sideways

    @property
    def wrapped(self) -> str:
        tied = self.text.replace(" †", "\xa0†")  # keeps † on the line of its word
        return "\n".join(textwrap.wrap(tied, WRAP, break_long_words=False, break_on_hyphens=False)).replace("\xa0", " ") or self.text

    @property
    def height(self) -> float:
        """Height in inches."""
        return (self.wrapped.count("\n") + 1) * LINE_OF_TEXT * SMALL / TEXT + 0.02


def height_of(ends: Sequence[End]) -> float:
    """Inches that the labels need, one above the other."""
    return sum(end.height for end in ends)


def write_ends(axes: Axes, ends: Sequence[End]) -> list[Annotation]:
    """Write the labels, so that the layout reserves their width. `spread_ends` moves them once the layout is fixed."""
    return [
        axes.annotate(
            end.wrapped,
            xy=(1, 0.5),
            xycoords="axes fraction",
            xytext=(LEADER + SAMPLE + GAP, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
        )
        for end in ends
    ]


def spread_ends(axes: Axes, ends: Sequence[End], names: Sequence[Annotation]) -> None:
    """Move each label as close to its line's end as its neighbours allow, and draw a leader to it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    wide, high = box.width / figure.dpi, box.height / figure.dpi  # inches
    to_axes = axes.transData + axes.transAxes.inverted()
    right = axes.get_xlim()[1]
    starts = [to_axes.transform((right if np.isnan(end.x) else end.x, end.y)) for end in ends]
    heights = [end.height / high for end in ends]
    leader, sample = 1 + LEADER / 72 / wide, 1 + (LEADER + SAMPLE) / 72 / wide
    for end, name, start, y in zip(ends, names, starts, spread([float(s[1]) for s in starts], heights), strict=True):
        name.xy = (1, y)
        free: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        x = start[0] + end.shift / 72 / wide
        axes.add_line(Line2D([x, leader], [start[1], y], color=end.look.color, linewidth=0.5, alpha=0.7, **free))
        axes.add_line(Line2D([leader, sample], [y, y], **end.look.of_line, **free))
        if end.marker:
            axes.add_line(Line2D([(leader + sample) / 2], [y], color=end.look.color, **end.look.of_marker, **free))


def spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Centres as close as possible to the wanted ones, in the same order, without overlap and between 0 and 1 (if all fit).

    Overlapping neighbours are merged into one block around the mean of their wanted centres. This repeats until no blocks overlap.
    """
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    blocks: list[tuple[list[int], float, float]] = []  # members, bottom, height

    def block(members: list[int]) -> tuple[list[int], float, float]:
        total = sum(heights[n] for n in members)
        below = np.cumsum([0.0, *(heights[n] for n in members)])
        bottom = float(np.mean([wanted[n] - below[k] - heights[n] / 2 for k, n in enumerate(members)]))
        return members, max(0.0, min(bottom, 1.0 - total)), total

    for n in order:
        blocks.append(block([n]))
        while len(blocks) > 1 and blocks[-2][1] + blocks[-2][2] > blocks[-1][1] + 1e-12:
            upper, lower = blocks.pop(), blocks.pop()
            blocks.append(block(lower[0] + upper[0]))
    centres = [0.0] * len(wanted)
    for members, bottom, _ in blocks:
        for n in members:
            centres[n] = bottom + heights[n] / 2
            bottom += heights[n]
    return centres
