"""Intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_and_half_width(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean, and the half-width of its two-sided Student-t interval; NaN for a single value. Refuses NaN."""
    array = np.asarray(values, dtype=float)
    if array.size == 0 or np.isnan(array).any():
        raise ValueError("a mean needs values that are numbers")
    if array.size == 1:
        return float(array[0]), float("nan")
    error = array.std(ddof=1) / np.sqrt(array.size)
    return float(array.mean()), float(stats.t.ppf((1 + level) / 2, array.size - 1) * error)
