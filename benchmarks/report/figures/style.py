"""The common style of all figures: legible at 8 cm width, in greyscale and for the colour-blind."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

P = ParamSpec("P")
R = TypeVar("R")

WIDTH = 5.0  # inches; printed at 8 cm, text of 9.5 points becomes 6 points
TEXT = 9.5
SMALL = 8.5
LINE_OF_TEXT = 1.3 * TEXT / 72  # inches

# Okabe and Ito's colours without yellow, which is invisible on white. The order keeps neighbours distinguishable in greyscale.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LARGER = {"*": 1.6, "P": 1.25, "X": 1.25, "p": 1.15, "h": 1.15, "D": 0.9}  # scale factors for the same apparent size as a disc
SIZE = 4.7
Dash = tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ((0, ()), (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)))
PUBLISHED: Dash = (0, (2.5, 2))
NOTE = "#444444"
BAND, BAND_OF_MANY = 0.16, 0.1  # opacities
MANY = 6  # more lines than this have BAND_OF_MANY

SETTINGS: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": TEXT,
    "figure.titlesize": TEXT + 1,
    "font.family": ["DejaVu Sans"],  # part of matplotlib, so text has the same size everywhere
    "font.size": TEXT,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # whole fonts: some publishers refuse those that matplotlib draws by itself
    "svg.fonttype": "none",  # text stays searchable
    "svg.hashsalt": "fscil-bench",  # without it, ids would be random
    "text.parse_math": False,  # a label may contain a dollar sign
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run `draw` with matplotlib's defaults and SETTINGS, ignoring the user's matplotlibrc. Restores all settings after."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(SETTINGS)
            return draw(*args, **kwargs)

    return inside


@dataclass(frozen=True)
class Look:
    color: str
    marker: str
    dash: Dash
    published: bool = False

    @property
    def of_line(self) -> dict[str, Any]:
        """Line properties for matplotlib. Published values, which were not measured here, are thin and dashed."""
        if self.published:
            return {"color": self.color, "linestyle": PUBLISHED, "linewidth": 0.9}
        return {"color": self.color, "linestyle": self.dash}

    @property
    def of_marker(self) -> dict[str, Any]:
        size = SIZE * LARGER.get(self.marker, 1)
        if self.published:
            return {"marker": self.marker, "markersize": size, "markerfacecolor": "white", "markeredgewidth": 0.9}
        return {"marker": self.marker, "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.4}


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label, in order. Colour and dash together repeat from the 29th label on, markers from the 13th."""
    return {
        label: Look(COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)], DASHES[n % len(DASHES)])
        for n, label in enumerate(dict.fromkeys(labels))
    }


def new_figure(height: float, title: str = "") -> Figure:
    """An empty figure of the common width, `height` inches high. `settle` lays it out."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle("\n".join(textwrap.wrap(title, 56)))
    return figure


def add_note(figure: Figure, *sentences: str, handles: Sequence[Line2D] = (), columns: int = 3, xlabel: str = "") -> float:
    """Add a strip below the axes: a shared x label, the legend, and in small text the meaning of bands, bars and hollow markers.

    Returns the strip's fraction of the figure's height.
    """
    lines = textwrap.wrap(" ".join(filter(None, sentences)), 80)
    high = figure.get_figheight()
    note = (len(lines) * LINE_OF_TEXT + 0.04 * bool(lines)) / high
    rows = -(-len(handles) // columns)
    keys = note + (rows * 1.25 * LINE_OF_TEXT + 0.08 * bool(rows)) / high
    strip = keys + (LINE_OF_TEXT + 0.06) * bool(xlabel) / high
    if lines:
        figure.text(0.015, 0.03 / high, "\n".join(lines), fontsize=SMALL, color=NOTE, va="bottom")
    if handles:
        figure.legend(handles=list(handles), loc="lower center", bbox_to_anchor=(0.5, note), ncols=columns, borderaxespad=0.2)
    if xlabel:
        figure.text(0.5, keys + 0.06 / high, xlabel, va="bottom", ha="center")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, strip, 1, 1 - strip))
    return strip


def settle(figure: Figure) -> None:
    """Lay the figure out once and fix it. A second layout at another resolution could move elements slightly and change the bytes."""
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # constrained layout needs the tick labels of a first pass
    figure.set_layout_engine("none")


def whole_ticks(axes: Axes, values: Iterable[int], most: int = 12) -> None:
    """Set ticks at the measured integers; only at every second, third, ... if there are more than `most`."""
    known = sorted(set(values))
    step = -(-len(known) // most)
    axes.set_xticks(known[::step])
