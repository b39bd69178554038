"""Means and intervals over seeds, and how a table writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.metrics.statistics import FEWEST_TO_TEST, half_widths
from benchmarks.system.errors import RecordError

NONE = "–"
Interval = tuple[float, float]
"""Mean and half-width of its 95 % interval: the latter NaN for fewer than three seeds, both NaN where no seed has a number."""


def measured(variant: str, block: pd.DataFrame) -> dict[str, Interval]:
    """Mean and half-width of its 95 % interval for each column of `block` [seeds, columns]; no half-width below three seeds, of which
    the interval says nothing.

    Raises RecordError for a column in which only some seeds have a number.
    """
    missing = block.isna()
    for column in block.columns[missing.any() & ~missing.all()]:
        seeds = ", ".join(map(str, block.index[missing[column]]))
        raise RecordError(f"{variant} seed {seeds}: {column} is not a number, and is one for other seeds; a mean would hide it")
    known = block.loc[:, ~missing.any()]
    found = dict.fromkeys(block.columns, (float("nan"), float("nan")))
    return found | dict(zip(known.columns, zip(known.mean().tolist(), half_widths(known).tolist(), strict=True), strict=True))


def intervals(variant: str, block: pd.DataFrame) -> list[str]:
    """Cells such as `61.23 ± 0.45`, one per column of `block`; the mean alone for one seed, `61.23 (2 seeds)` for two; a dash for no
    numbers. Raises RecordError."""
    few = too_few(len(block))
    cells = [in_text(interval) for interval in measured(variant, block).values()]
    return [cell if cell == NONE else cell + few for cell in cells]


def too_few(seeds: int) -> str:
    """Text such as ` (2 seeds)` beside a mean of several seeds that has no interval; empty for others."""
    return f" ({seeds} seeds)" if 1 < seeds < FEWEST_TO_TEST else ""


def in_text(interval: Interval) -> str:
    mean, width = interval
    return NONE if np.isnan(mean) else f"{mean:.2f}" + ("" if np.isnan(width) else f" ± {width:.2f}")
