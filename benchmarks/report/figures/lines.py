"""Drawing one line with its interval: functions that several figures share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from benchmarks.report.figures.style import BAND, Look

Values = NDArray[np.float64]
# An interval may extend the axes by OF_RANGE of the means' range or OF_BANDS median half-widths, whichever is larger.
OF_RANGE, OF_BANDS = 0.35, 3.0


def draw_line(axes: Axes, x: Values, mean: Values, half_width: Values, look: Look, opacity: float = BAND) -> None:
    """Draw the mean with its band, or with a bar if there is only one x."""
    if len(x) == 1:
        return draw_points(axes, x, mean, half_width, look)
    axes.plot(x, mean, **look.of_line, **look.of_marker)
    draw_band(axes, x, mean, half_width, look, opacity)


def draw_band(axes: Axes, x: Values, mean: Values, half_width: Values, look: Look, opacity: float = BAND) -> None:
    """Draw the band of an interval; nothing if all half-widths are NaN."""
    if not np.isnan(half_width).all():
        axes.fill_between(x, mean - half_width, mean + half_width, color=look.color, alpha=opacity, linewidth=0)


def fit(axes: Axes, numbers: pd.DataFrame) -> None:
    """Set the y limits so that the means fill the axes: an interval that is far wider than the others is cut.

    With three seeds, one outlier can give an interval of ± 90 points, which would make all lines look flat. If all intervals are
    wide, none is cut.
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
    """Draw the mean with error bars, moved sideways by `shift` points, so that the bars of two lines do not overlap."""
    drawn: list[Artist] = [*axes.plot(x, mean, **look.of_line, **look.of_marker)]
    if not np.isnan(half_width).all():
        drawn += axes.errorbar(x, mean, half_width, fmt="none", ecolor=look.color, elinewidth=1.0, capsize=2.5, capthick=1.0).get_children()
    figure = axes.get_figure(root=True)
    assert figure is not None
    for artist in drawn:  # last, because the axes' limits ignore artists with another transform
        artist.set_transform(axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans))


def draw_level(axes: Axes, mean: float, half_width: float, look: Look) -> None:
    """Draw a value without an x as a horizontal line with its band."""
    axes.axhline(mean, **look.of_line)
    if not np.isnan(half_width):
        axes.axhspan(mean - half_width, mean + half_width, color=look.color, alpha=BAND, linewidth=0)
