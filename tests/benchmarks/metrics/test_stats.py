"""Intervals that cover what they say, paired tests against scipy's, Holm's correction by its definition, seeds against printed tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate
from scipy import stats as scipy_stats

from benchmarks.metrics import statistics as stats
from benchmarks.metrics.statistics import half_widths, holm, mean_and_half_width, paired_differences, paired_p, seeds_to_separate

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

hundredths = st.integers(0, 10_000).map(lambda number: number / 100)
p_values = st.lists(st.floats(1e-12, 1), min_size=1, max_size=30)


def few(least: int, most: int) -> st.SearchStrategy[list[float]]:
    return st.lists(hundredths, min_size=least, max_size=most)


# Intervals --------------------------------------------------------------------------------------------------------------


@given(few(3, 5))
def test_below_six_seeds_it_is_scipys_student_interval(values: list[float]) -> None:
    mean, half = mean_and_half_width(values)
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    if (error := scipy_stats.sem(values)) == 0:
        assert half == 0
        return
    low, high = scipy_stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    assert half == pytest.approx((high - low) / 2, abs=1e-8)


def test_by_hand() -> None:
    """80, 85, 90: standard deviation 5, and t with two degrees of freedom is 4.302653 (any printed table)."""
    mean, half = mean_and_half_width([80.0, 85.0, 90.0])
    assert mean == pytest.approx(85.0)
    assert half == pytest.approx(4.302653 * 5 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(("count", "tail"), [(6, 0.002432), (10, 0.008552)])
def test_against_all_resamples_that_there_are(count: int, tail: float) -> None:
    """Tails by hand: sqrt(6/5) * 2.570582 = 2.815931 and sqrt(10/9) * 2.262157 = 2.384524 deviations of a normal.

    Of 10,000 drawn resamples, 24 +- 15 and 86 +- 28 (three deviations) lie in a tail: so the end lies between the quantiles of these.
    """
    values = np.array([61.0, 62.5, 63.0, 63.5, 65.0, 72.0, 62.0, 64.0, 61.5, 66.0][:count])
    sums, weights = [], []
    for drawn in itertools.combinations_with_replacement(range(count), count):
        times = np.bincount(drawn, minlength=count)
        sums.append(times @ values)
        weights.append(math.factorial(count) / math.prod(map(math.factorial, times.tolist())) / count**count)
    order = np.argsort(sums)
    means, beyond = np.array(sums)[order] / count, 1 - np.cumsum(np.array(weights)[order])

    def upper_end(tail: float) -> float:
        return float(means[np.argmax(beyond <= tail)])

    slack = 3 * math.sqrt(tail / 10_000)
    (half,) = half_widths(values.reshape(-1, 1))
    assert upper_end(tail + slack) <= values.mean() + half <= upper_end(tail - slack)  # skewed: the upper end is the farther


def coverage(draw: Draw, mean: float, count: int, samples: int = 4_000) -> tuple[float, float]:
    """How often the printed interval, and how often Student's, has the true mean."""
    generator = np.random.default_rng(count)
    ours = students = 0
    for _ in range(samples // 500):
        values = draw(generator, (count, 500))
        off = np.abs(values.mean(axis=0) - mean)
        ours += int((off <= half_widths(values)).sum())
        students += int((off <= scipy_stats.t.ppf(0.975, count - 1) * scipy_stats.sem(values, axis=0)).sum())
    return ours / samples, students / samples


NORMAL: Draw = lambda generator, size: generator.normal(size=size)  # noqa: E731
SKEWED: Draw = lambda generator, size: generator.gamma(4, size=size)  # noqa: E731  (skewness 1)
VERY_SKEWED: Draw = lambda generator, size: generator.exponential(size=size)  # noqa: E731  (skewness 2)
ERROR = math.sqrt(0.95 * 0.05 / 4_000)  # of a simulated coverage of 95 %


@pytest.mark.parametrize("count", [3, 5, 6, 10, 20])
def test_coverage_of_normal_seeds(count: int) -> None:
    assert coverage(NORMAL, 0.0, count)[0] >= 0.95 - 3 * ERROR


@pytest.mark.parametrize("count", [6, 10, 20])
def test_coverage_of_skewed_seeds(count: int) -> None:
    assert coverage(SKEWED, 4.0, count)[0] >= 0.93 - 3 * ERROR


@pytest.mark.parametrize("count", [6, 10, 20])
def test_very_skewed_seeds_are_covered_no_worse_than_by_student(count: int) -> None:
    """Exponential: no interval of so few seeds reaches 95 %."""
    ours, students = coverage(VERY_SKEWED, 1.0, count)
    assert ours >= students - ERROR
    assert ours >= 0.88


def test_the_plain_percentile_interval_would_pass_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Student's quantile replaced by the one that leaves 2.5 % off each side, whatever the number of seeds."""

    class Plain:
        @staticmethod
        def ppf(level: float, freedom: int) -> float:
            return float(scipy_stats.norm.ppf(level) * math.sqrt(freedom / (freedom + 1)))

    monkeypatch.setattr(stats, "stats", SimpleNamespace(t=Plain, norm=scipy_stats.norm))
    assert coverage(NORMAL, 0.0, 10)[0] < 0.95 - 3 * ERROR
    assert coverage(SKEWED, 4.0, 10)[0] < 0.93 - 3 * ERROR


def test_the_range_of_five_covers_too_little() -> None:
    """And no resample's mean lies beyond it: why five seeds have Student's interval."""
    values = np.random.default_rng(0).normal(size=(5, 4_000))
    assert np.mean((values.min(axis=0) <= 0) & (values.max(axis=0) >= 0)) == pytest.approx(1 - 2 / 2**5, abs=4 * ERROR)


@given(few(3, 12).flatmap(lambda values: st.tuples(st.just(values), st.permutations(values))))
def test_the_order_of_seeds_changes_no_interval(orders: tuple[list[float], list[float]]) -> None:
    values, shuffled = orders
    assert half_widths(np.reshape(shuffled, (-1, 1))) == half_widths(np.reshape(values, (-1, 1)))


@given(few(3, 12), st.floats(-50, 50), st.floats(-3, 3))
def test_an_interval_moves_and_stretches_with_its_values(values: list[float], shift: float, factor: float) -> None:
    """A minus B has the interval of B minus A, mirrored."""
    (half,) = half_widths(np.reshape(values, (-1, 1)))
    (moved,) = half_widths(np.reshape(values, (-1, 1)) * factor + shift)
    assert moved == pytest.approx(abs(factor) * half, abs=1e-7)


@given(few(7, 7), few(7, 7))
def test_columns_do_not_touch_each_other(first: list[float], second: list[float]) -> None:
    both = half_widths(np.column_stack([first, second]))
    assert both.tolist() == [mean_and_half_width(first)[1], mean_and_half_width(second)[1]]


@pytest.mark.parametrize("count", [3, 5, 6, 10])
def test_equal_values_leave_no_doubt(count: int) -> None:
    assert mean_and_half_width([61.25] * count) == (61.25, 0.0)


def test_resamples_repeat() -> None:
    first = stats.resamples(10).tobytes()
    stats.resamples.cache_clear()
    assert stats.resamples(10).tobytes() == first
    assert stats.resamples(10).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("values", [[42.5], [42.0, 43.0]])
def test_one_value_or_two_have_a_mean_but_no_interval(values: list[float]) -> None:
    """As they have no test: Student's interval of two is 12.7 standard errors to a side, and of two that agree nothing."""
    mean, half = mean_and_half_width(values)
    assert mean == 42.5
    assert math.isnan(half)


@pytest.mark.parametrize(
    "values", [[], [float("nan")], [1.0, float("nan"), 3.0], [float("nan")] * 7, np.array([])], ids=["none", "nan", "among", "all", "array"]
)
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="mean"):
        mean_and_half_width(values)


# Paired tests -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(hundredths, hundredths), min_size=3, max_size=12))
def test_p_is_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    first, second = (dict(enumerate(values)) for values in zip(*pairs, strict=True))
    differences = paired_differences(first, second)
    p = paired_p(differences)
    if np.ptp(differences) > 1e-6:
        expected = scipy_stats.ttest_rel(list(first.values()), list(second.values())).pvalue
        assert p == pytest.approx(expected, rel=1e-6)
    elif abs(differences[0]) < 1e-6:
        assert p == 1
    else:
        assert math.isnan(p)


def test_p_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1/sqrt(3), t = 3.464 with two degrees of freedom: p = 1 - t / sqrt(2 + t^2) = .0742."""
    assert paired_p(np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - math.sqrt(12 / 14))


def test_pairs_are_of_one_seed_not_of_one_place() -> None:
    first, second = {0: 50.0, 1: 60.0, 2: 71.0}, {2: 70.0, 0: 49.0, 1: 58.0}
    assert paired_differences(first, second).tolist() == [1.0, 2.0, 1.0]
    assert paired_differences(second, first).tolist() == [-1.0, -2.0, -1.0]


def test_differences_that_are_constant_but_for_rounding_are_no_proof() -> None:
    """.1 + .2 is not .3: without the tolerance t would be 10^15, and p zero."""
    first, second = {0: 50.3, 1: 60.7, 2: 71.1}, {0: 50.2, 1: 60.6, 2: 71.0}
    differences = paired_differences(first, second)
    assert len(set(differences.tolist())) > 1, "the example must have rounding in it"
    assert math.isnan(paired_p(differences))
    assert paired_p(differences - 0.1) == 1.0


@pytest.mark.parametrize("differences", [[], [1.0], [1.0, 2.0]])
def test_two_seeds_are_no_test(differences: list[float]) -> None:
    assert math.isnan(paired_p(np.array(differences)))


@pytest.mark.parametrize("swap", [False, True])
def test_pairs_of_other_seeds_or_no_numbers_are_refused_by_name(swap: bool) -> None:
    def refused(first: dict[int, float], second: dict[int, float], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            paired_differences(*((second, first) if swap else (first, second)))

    refused({0: 1.0, 1: 2.0, 7: 3.0}, {0: 1.0, 1: 2.0, 8: 3.0}, "seed 7, 8")
    refused({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0, 4: 3.0}, "seed 4")
    refused({0: 1.0, 3: float("nan")}, {0: 1.0, 3: 2.0}, "not so seed 3")


# Holm's correction ------------------------------------------------------------------------------------------------------


@given(p_values)
def test_holm_by_its_definition(p: list[float]) -> None:
    """The largest, over the tests with a p no larger, of p times the number of tests with a p no smaller; Bonferroni for the smallest."""
    corrected = holm(p)
    order = sorted(p)
    for raw, found in zip(p, corrected, strict=True):
        steps = [smaller * (len(p) - rank) for rank, smaller in enumerate(order) if smaller <= raw]
        assert found == pytest.approx(min(1, max(steps)))
        assert raw <= found <= min(1, raw * len(p)) + 1e-15
    assert min(corrected) == pytest.approx(min(1, min(p) * len(p)))
    ranked = [found for _, found in sorted(zip(p, corrected, strict=True))]
    assert ranked == sorted(ranked)


def test_holm_by_hand() -> None:
    """.01, .04, .03, .005: times 4 for the smallest, 3, 2, 1; .03 * 2 = .06 holds .04 up."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values, st.integers(1, 4))
def test_a_test_that_could_not_be_made_still_counts(p: list[float], without: int) -> None:
    corrected = holm([*p, *[float("nan")] * without])
    assert np.isnan(corrected[len(p) :]).all()
    assert corrected[: len(p)] == pytest.approx(holm([*p, *[1.0] * without])[: len(p)])


# How many seeds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_of_printed_tables(effect: float, seeds: int) -> None:
    """Paired t-test, two-sided .05, power .80: G*Power's answers for Cohen's small, medium and large effect."""
    assert seeds_to_separate(effect) == seeds_to_separate(-effect) == seeds


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3, 0.05 / 22])
@pytest.mark.parametrize("effect", [0.4, 0.7, 1.0, 1.3, 1.6, 2.0, 2.5, 2.9, 3.1, 4.0])
def test_seeds_are_the_fewest_of_the_power_asked_for(effect: float, alpha: float) -> None:
    """Power by its definition: the chance that a normal mean exceeds the bound, over the chi-squared spread of samples."""

    def power(seeds: int) -> float:
        freedom = seeds - 1
        bound = scipy_stats.t.isf(alpha / 2, freedom)

        def share(spread: float) -> float:
            beyond = scipy_stats.norm.sf(bound * math.sqrt(spread / freedom) - effect * math.sqrt(seeds))
            return float(scipy_stats.chi2.pdf(spread, freedom) * beyond)

        return float(integrate.quad(share, 0, freedom + 40 * math.sqrt(2 * freedom), limit=200)[0])

    seeds = seeds_to_separate(effect, alpha)
    assert power(seeds) >= 0.80
    assert seeds == 3 or power(seeds - 1) < 0.80


@given(st.floats(0.01, 100), st.floats(1, 2), st.floats(1, 100))
def test_a_larger_effect_needs_no_more_seeds_and_a_sterner_test_no_fewer(effect: float, larger: float, sterner: float) -> None:
    seeds = seeds_to_separate(effect)
    assert 3 <= seeds_to_separate(effect * larger) <= seeds <= seeds_to_separate(effect, 0.05 / sterner) <= 1_001


def test_no_difference_is_never_separated() -> None:
    assert seeds_to_separate(0.0) == seeds_to_separate(0.01) == 1_001
