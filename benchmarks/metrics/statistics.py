"""What a handful of seeds can say: intervals, paired tests, Holm's correction, and how many seeds would separate two rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests, after Holm's correction
POWER = 0.80  # with which as many seeds as are named would separate two rows
MOST_SEEDS = 1000  # more are not counted
FEWEST_TO_TEST = 3
FEWEST_TO_RESAMPLE = 6
RESAMPLES = 5_000  # and as many mirrored
EQUAL = 1e-9  # points: nearer to each other, two accuracies differ by rounding alone

Scores = Mapping[int, float]
"""One number a seed."""


@lru_cache
def resamples(count: int) -> NDArray[np.float64]:
    """The share that each of `count` values has in each resample: the same every time, so that a table repeats byte for byte.

    Every resample stands there with its mirror image, so that the interval of -x is that of x, mirrored.
    """
    drawn = np.random.default_rng(count).multinomial(count, [1 / count] * count, size=RESAMPLES) / count
    return np.concatenate([drawn, drawn[:, ::-1]])


def half_widths(values: ArrayLike) -> NDArray[np.float64]:
    """Of each column's 95 % interval over its rows (one a seed): from the mean to the farther end. NaN for a single row.

    From six rows on by the bootstrap's expanded percentiles (Hesterberg, The American Statistician 69, 2015): the plain ones, 2.5
    and 97.5, are too narrow by the factor sqrt((n - 1) / n) and by the normal quantile in place of Student's. Fewer rows have
    Student's interval, since no bootstrap can serve them: the range of five values, beyond which no resample reaches, covers the
    mean of a symmetric distribution in 1 - 2 / 2^5 = 93.75 % of all cases.
    """
    table = np.sort(np.asarray(values, dtype=float), axis=0)  # a column's interval does not depend on its order
    count = len(table)
    if count == 0 or np.isnan(table).any():
        raise ValueError("a mean needs values that are numbers")
    if count == 1:
        return np.full(table.shape[1], np.nan)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    if count < FEWEST_TO_RESAMPLE:
        width = quantile * table.std(axis=0, ddof=1) / np.sqrt(count)
    else:
        tail = float(stats.norm.cdf(-np.sqrt(count / (count - 1)) * quantile))
        ends = np.quantile(resamples(count) @ table, [tail, 1 - tail], axis=0)
        width = np.abs(ends - table.mean(axis=0)).max(axis=0)
    return np.round(width, 9)  # the last bits differ from processor to processor, and could tip a printed digit


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and the half-width of its 95 % interval; NaN for a single value. Refuses NaN."""
    column = np.asarray(values, dtype=float).reshape(-1, 1)
    (width,) = half_widths(column)
    return float(column.mean()), float(width)


def paired_differences(first: Scores, second: Scores) -> NDArray[np.float64]:
    """First minus second, seed by seed, whatever the order they stand in. Refuses a seed that only one has, and NaN."""
    if apart := sorted(first.keys() ^ second.keys()):
        raise ValueError(f"a pair needs both values of seed {', '.join(map(str, apart))}")
    if wrong := sorted(seed for seed in first if np.isnan(first[seed]) or np.isnan(second[seed])):
        raise ValueError(f"a pair needs numbers: not so seed {', '.join(map(str, wrong))}")
    return np.array([first[seed] - second[seed] for seed in sorted(first)])


def paired_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the paired t-test; 1 where all differences are zero, NaN where there is no test: under three seeds, or no spread.

    Why Student's: the sign-flip and Wilcoxon's test cannot go below 2 / 2^n: .06 at five seeds, .00195 at ten. Holm's correction
    over 26 comparisons asks the smallest p for .0019: not even a row that is ahead on every seed could be separated.
    """
    if len(differences) < FEWEST_TO_TEST:
        return float("nan")
    if np.ptp(differences) <= EQUAL:
        return 1.0 if np.abs(differences).max() <= EQUAL else float("nan")
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(2 * special.stdtr(len(differences) - 1, -abs(differences.mean() / error)))  # scipy.stats.ttest_rel, twenty times as fast


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """P-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    NaN, a test that could not be made, stays NaN and counts among the others as one that separates nothing.
    """
    array = np.asarray(p, dtype=float)
    order = np.argsort(array, kind="stable")  # NaN last
    corrected = np.empty_like(array)
    corrected[order] = np.minimum(np.maximum.accumulate(array[order] * (len(array) - np.arange(len(array)))), 1)
    return corrected


def seeds_to_separate(effect: float, alpha: float = ALPHA) -> int:
    """Fewest seeds, three at least, with which a paired t-test at `alpha` finds the difference with a power of 80 %.

    `effect` is the mean of the differences over their standard deviation. Beyond 1,000 the answer is 1,001.
    """

    def power(seeds: int) -> float:
        bound = stats.t.isf(alpha / 2, seeds - 1)
        return float(stats.nct.sf(bound, seeds - 1, abs(effect) * np.sqrt(seeds)))  # the far tail adds nothing, and scipy has NaN there

    counts = range(FEWEST_TO_TEST, MOST_SEEDS + 1)
    return FEWEST_TO_TEST + bisect_left(counts, POWER, key=power)
