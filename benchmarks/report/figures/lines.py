"""One line with its interval, the pieces that several figures share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from benchmarks.report.figures.style import BAND, Look

Values = NDArray[np.float64]
OF_RANGE, OF_BANDS = 0.35, 3.0  # of the means' range, of the middle half-width: as much may an interval add to the axes


def draw_line(axes: Axes, x: Values, mean: Values, half_width: Values, look: Look, opacity: float = BAND) -> None:
    """Mean with its band; a bar where there is one x only, which has no width for a band."""
    if len(x) == 1:
        return draw_points(axes, x, mean, half_width, look)
    axes.plot(x, mean, **look.of_line, **look.of_marker)
    draw_band(axes, x, mean, half_width, look, opacity)


def draw_band(axes: Axes, x: Values, mean: Values, half_width: Values, look: Look, opacity: float = BAND) -> None:
    """Nothing where there is no interval."""
    if not np.isnan(half_width).all():
        axes.fill_between(x, mean - half_width, mean + half_width, color=look.color, alpha=opacity, linewidth=0)


def fit(axes: Axes, numbers: pd.DataFrame) -> None:
    """Give the means the room: an interval that is far wider than the others is cut, where the axes would have to grow for it.

    Of three seeds, one may make an interval of ± 90 points, beside which all lines were flat. Where all intervals are wide, none is
    cut: then they are what there is to see.
    """
    mean, band = numbers["mean"].to_numpy(float), np.nan_to_num(numbers["half_width"].to_numpy(float))
    low, high = mean.min(), mean.max()
    room = max(OF_RANGE * (high - low), OF_BANDS * float(np.median(band)))
    if room > 0:
        bottom, top = max((mean - band).min(), low - room), min((mean + band).max(), high + room)
        air = 0.05 * (top - bottom)
        axes.set_ylim(bottom - air, top + air)


def is_cut(axes: Axes, numbers: pd.DataFrame) -> bool:
    low, high = axes.get_ylim()
    mean, band = numbers["mean"], numbers["half_width"].fillna(0)
    return bool((mean - band).min() < low or (mean + band).max() > high)


def draw_points(axes: Axes, x: Values, mean: Values, half_width: Values, look: Look, shift: float = 0.0) -> None:
    """Mean with bars, moved aside by `shift` points, so that the bars of two lines do not hide each other."""
    drawn: list[Artist] = [*axes.plot(x, mean, **look.of_line, **look.of_marker)]
    if not np.isnan(half_width).all():
        drawn += axes.errorbar(x, mean, half_width, fmt="none", ecolor=look.color, elinewidth=1.0, capsize=2.5, capthick=1.0).get_children()
    figure = axes.get_figure(root=True)
    assert figure is not None
    for artist in drawn:  # only now: the axes' limits do not follow what was moved before
        artist.set_transform(axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans))


def draw_level(axes: Axes, mean: float, half_width: float, look: Look) -> None:
    """A value that belongs to no x: a line across, with its band."""
    axes.axhline(mean, **look.of_line)
    if not np.isnan(half_width):
        axes.axhspan(mean - half_width, mean + half_width, color=look.color, alpha=BAND, linewidth=0)
