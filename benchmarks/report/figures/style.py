"""How every figure looks: readable 8 cm wide, in grey, and by the colour-blind."""

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

WIDTH = 5.0  # inches; printed 8 cm wide, text of 9.5 points comes out as 6
TEXT = 9.5
SMALL = 8.5
LINE_OF_TEXT = 1.3 * TEXT / 72  # inches

# Okabe and Ito's colours; their yellow is left out: nobody sees a yellow line on white paper. The order keeps neighbours apart in grey.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LARGER = {"*": 1.6, "P": 1.25, "X": 1.25, "p": 1.15, "h": 1.15, "D": 0.9}  # to look as large as a disc
SIZE = 4.7
Dash = tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ((0, ()), (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)))
PUBLISHED: Dash = (0, (2.5, 2))
NOTE = "#444444"
BAND, BAND_OF_MANY = 0.16, 0.1  # opacity
MANY = 6  # lines

SETTINGS: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": TEXT,
    "figure.titlesize": TEXT + 1,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so text has one size everywhere
    "font.size": TEXT,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",  # text stays text: it can be searched
    "svg.hashsalt": "fscil-bench",  # or its ids were drawn anew each time
    "text.parse_math": False,  # a label may hold a dollar sign
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw under matplotlib's defaults and ours, whatever a user's matplotlibrc says; nothing of it stays behind."""

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
        """For matplotlib. Published: hollow, thin and dashed, for nobody measured it here."""
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
    """A look for each label, in order: no two share colour and dash before the 29th, nor a marker before the 13th."""
    return {
        label: Look(COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)], DASHES[n % len(DASHES)])
        for n, label in enumerate(dict.fromkeys(labels))
    }


def new_figure(height: float, title: str = "") -> Figure:
    """An empty figure of the common width; `settle` lays it out."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle("\n".join(textwrap.wrap(title, 56)))
    return figure


def add_note(figure: Figure, *sentences: str, handles: Sequence[Line2D] = (), columns: int = 3, xlabel: str = "") -> float:
    """A strip beneath the axes: the name of their x where they share it, what the lines are called, and in small text what bands, bars
    and hollow markers mean. Returns its share of the figure's height.
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
    """Lay the figure out, once: another layout, at another resolution, could move things by a hair, and the bytes with them."""
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # constrained layout needs the ticks' labels of a first pass
    figure.set_layout_engine("none")


def whole_ticks(axes: Axes, values: Iterable[int], most: int = 12) -> None:
    """Ticks at whole numbers that were measured; every second, third, ... where they are many."""
    known = sorted(set(values))
    step = -(-len(known) // most)
    axes.set_xticks(known[::step])
