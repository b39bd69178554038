"""Student-t intervals against scipy's own, and what has no mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.stats import mean_and_half_width


@given(st.lists(st.floats(0, 100), min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_half_width_is_scipys_interval(values: list[float], level: float) -> None:
    mean, half = mean_and_half_width(values, level)
    error = stats.sem(values)
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    if error == 0:
        assert half == 0
        return
    low, high = stats.t.interval(level, len(values) - 1, loc=sum(values) / len(values), scale=error)
    assert half == pytest.approx((high - low) / 2, rel=1e-6, abs=1e-9)


def test_by_hand() -> None:
    """80, 85, 90: standard deviation 5, and t with two degrees of freedom is 4.302653 (any printed table)."""
    mean, half = mean_and_half_width([80.0, 85.0, 90.0])
    assert mean == pytest.approx(85.0)
    assert half == pytest.approx(4.302653 * 5 / math.sqrt(3), rel=1e-6)


def test_ten_equal_values_leave_no_doubt() -> None:
    assert mean_and_half_width([61.25] * 10) == (61.25, 0.0)


def test_one_value_has_a_mean_but_no_interval() -> None:
    mean, half = mean_and_half_width([42.5])
    assert mean == 42.5
    assert math.isnan(half)


@pytest.mark.parametrize(
    "values", [[], [float("nan")], [1.0, float("nan"), 3.0], np.array([])], ids=["none", "nan", "a nan among", "array"]
)
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="mean"):
        mean_and_half_width(values)
