"""Statistics over few seeds: intervals, paired tests, Holm's correction, and the number of seeds needed to separate two table rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

LEVEL = 0.95  # confidence level of intervals
ALPHA = 0.05  # significance level of tests, after Holm's correction
POWER = 0.80  # power for which the number of seeds to separate two rows is computed
MOST_SEEDS = 1000  # larger numbers of seeds are not computed
FEWEST_TO_TEST = 3
FEWEST_TO_RESAMPLE = 6
RESAMPLES = 5_000  # plus as many mirrored ones
EQUAL = 1e-9  # percentage points: accuracies that differ by less count as equal (rounding)

Scores = Mapping[int, float]
"""One number per seed."""


@lru_cache
def resamples(count: int) -> NDArray[np.float64]:
    """Weights [2 RESAMPLES, count] of `count` values in each bootstrap resample. They are fixed, so that tables are reproducible.

    Every resample is included with its mirror image, so that the interval of -x is the mirrored interval of x.
    """
    drawn = np.random.default_rng(count).multinomial(count, [1 / count] * count, size=RESAMPLES) / count
    return np.concatenate([drawn, drawn[:, ::-1]])


def half_widths(values: ArrayLike) -> NDArray[np.float64]:
    """Half-width of each column's 95 % interval of the mean over rows (one per seed); NaN for fewer than three rows, of
    which an interval says nothing. ValueError for NaN or no rows.

    The half-width is the distance from the mean to the farther end. From six rows on, the interval is the bootstrap's expanded
    percentile interval (Hesterberg, The American Statistician 69, 2015): the plain percentiles, 2.5 and 97.5, are too narrow by the
    factor sqrt((n - 1) / n) and by using the normal quantile instead of Student's. For fewer rows it is Student's interval, because
    no bootstrap can reach 95 %: the range of five values, which no resample exceeds, covers the mean of a symmetric distribution
    in only 1 - 2 / 2^5 = 93.75 % of all cases.
    """
    table = np.sort(np.asarray(values, dtype=float), axis=0)  # a column's interval does not depend on its order
    count = len(table)
    if count == 0 or np.isnan(table).any():
        raise ValueError("a mean needs values that are numbers")
    if count < FEWEST_TO_TEST:
        return np.full(table.shape[1], np.nan)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    if count < FEWEST_TO_RESAMPLE:
        width = quantile * table.std(axis=0, ddof=1) / np.sqrt(count)
    else:
        tail = float(stats.norm.cdf(-np.sqrt(count / (count - 1)) * quantile))
        means = table.T @ resamples(count).T  # a column's in a row of memory: twice as fast as the other way round
        ends = np.quantile(means, [tail, 1 - tail], axis=1, overwrite_input=True)
        width = np.abs(ends - table.mean(axis=0)).max(axis=0)
    return np.round(width, 9)  # the last bits differ between processors and could change a printed digit


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % interval (NaN for fewer than three values). Raises ValueError for NaN."""
    column = np.asarray(values, dtype=float).reshape(-1, 1)
    (width,) = half_widths(column)
    return float(column.mean()), float(width)


def paired_differences(first: Scores, second: Scores) -> NDArray[np.float64]:
    """First minus second per seed, sorted by seed. Raises ValueError for NaN and for a seed that only one of them has."""
    if apart := sorted(first.keys() ^ second.keys()):
        raise ValueError(f"a pair needs both values of seed {', '.join(map(str, apart))}")
    if wrong := sorted(seed for seed in first if np.isnan(first[seed]) or np.isnan(second[seed])):
        raise ValueError(f"a pair needs numbers: not so seed {', '.join(map(str, wrong))}")
    return np.array([first[seed] - second[seed] for seed in sorted(first)])


def paired_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the paired t-test; 1 if all differences are zero, NaN if there are under three seeds or there is no spread.

    Reason for the t-test: p of the sign-flip test and of Wilcoxon's test is at least 2 / 2^n, .06 at five seeds and .00195 at ten.
    Holm's correction over 26 comparisons needs a smallest p of .0019, so not even a row that is ahead on every seed could be
    separated.
    """
    if len(differences) < FEWEST_TO_TEST:
        return float("nan")
    if np.ptp(differences) <= EQUAL:
        return 1.0 if np.abs(differences).max() <= EQUAL else float("nan")
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(2 * special.stdtr(len(differences) - 1, -abs(differences.mean() / error)))  # scipy.stats.ttest_rel, twenty times as fast


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """P-values corrected for multiple comparisons (Holm, Scandinavian Journal of Statistics 6, 1979).

    NaN, a test that could not be computed, stays NaN and counts in the correction like a test with the largest p.
    """
    array = np.asarray(p, dtype=float)
    order = np.argsort(array, kind="stable")  # NaN last
    corrected = np.empty_like(array)
    corrected[order] = np.minimum(np.maximum.accumulate(array[order] * (len(array) - np.arange(len(array)))), 1)
    return corrected


def seeds_to_separate(effect: float, alpha: float = ALPHA) -> int:
    """Smallest number of seeds, at least three, for which a paired t-test at level `alpha` has a power of 80 %.

    `effect` is the mean of the differences divided by their standard deviation. Returns 1,001 if more than 1,000 are needed.
    """

    def power(seeds: int) -> float:
        bound = stats.t.isf(alpha / 2, seeds - 1)
        return float(stats.nct.sf(bound, seeds - 1, abs(effect) * np.sqrt(seeds)))  # the other tail is negligible, and NaN in scipy

    counts = range(FEWEST_TO_TEST, MOST_SEEDS + 1)
    return FEWEST_TO_TEST + bisect_left(counts, POWER, key=power)
