"""Accuracies against values worked out by hand, and the identities that hold for any counts."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks import metrics
from protocols.schema import Sessions

# Two base classes of 10 and 30 images, one novel class of 20.
CORRECT, TOTAL = (9, 15, 5), (10, 30, 20)


@st.composite
def counts(draw: st.DrawFn, equal: bool = False) -> tuple[list[int], list[int], int]:
    """Right answers and images a class, and how many of the classes are base; at least one is novel."""
    classes = draw(st.integers(2, 8))
    size = draw(st.integers(1, 50))
    total = [size] * classes if equal else draw(st.lists(st.integers(1, 50), min_size=classes, max_size=classes))
    correct = [draw(st.integers(0, images)) for images in total]
    return correct, total, draw(st.integers(1, classes - 1))


def test_hand_computed_values() -> None:
    assert metrics.micro(CORRECT, TOTAL) == pytest.approx(100 * 29 / 60)
    assert metrics.macro(CORRECT, TOTAL) == pytest.approx((90 + 50 + 25) / 3)
    assert metrics.base_accuracy(CORRECT, TOTAL, 2) == pytest.approx(60.0)
    assert metrics.novel_accuracy(CORRECT, TOTAL, 2) == pytest.approx(25.0)
    assert metrics.harmonic_mean(CORRECT, TOTAL, 2) == pytest.approx(2 * 60 * 25 / 85)
    assert metrics.class_count(CORRECT, TOTAL, 2) == pytest.approx((60 * 2 + 25 * 1) / 3)
    assert metrics.performance_drop([70.0, 90.0, 40.5]) == pytest.approx(29.5)


def test_session_0_has_no_novel_class() -> None:
    correct, total = (9, 15), (10, 30)
    assert math.isnan(metrics.novel_accuracy(correct, total, 2))
    assert math.isnan(metrics.harmonic_mean(correct, total, 2))
    assert metrics.base_accuracy(correct, total, 2) == pytest.approx(60.0)


@pytest.mark.parametrize("old", [0, 2], ids=["all new", "all old"])
def test_class_count_with_one_group_only_is_that_group(old: int) -> None:
    assert metrics.class_count((9, 15), (10, 30), old) == pytest.approx(60.0)


@given(counts())
def test_base_and_novel_weighted_by_images_are_all(drawn: tuple[list[int], list[int], int]) -> None:
    correct, total, base = drawn
    share = sum(total[:base]) / sum(total)
    both = share * metrics.base_accuracy(correct, total, base) + (1 - share) * metrics.novel_accuracy(correct, total, base)
    assert both == pytest.approx(metrics.micro(correct, total))


@given(counts(equal=True))
def test_all_weightings_agree_where_classes_have_equally_many_images(drawn: tuple[list[int], list[int], int]) -> None:
    correct, total, base = drawn
    micro = metrics.micro(correct, total)
    assert metrics.class_count(correct, total, base) == pytest.approx(micro)
    assert metrics.macro(correct, total) == pytest.approx(micro)


@given(counts())
def test_accuracies_against_exact_fractions(drawn: tuple[list[int], list[int], int]) -> None:
    correct, total, base = drawn
    micro, macro = Fraction(sum(correct), sum(total)), sum(map(Fraction, correct, total)) / len(total)
    assert metrics.micro(correct, total) == pytest.approx(float(100 * micro))
    assert metrics.macro(correct, total) == pytest.approx(float(100 * macro))
    old, new = Fraction(sum(correct[:base]), sum(total[:base])), Fraction(sum(correct[base:]), sum(total[base:]))
    by_classes = (old * base + new * (len(total) - base)) / len(total)
    assert metrics.class_count(correct, total, base) == pytest.approx(float(100 * by_classes))


@given(st.floats(0, 100), st.floats(0, 100))
def test_harmonic_lies_between_the_lower_and_the_arithmetic_mean(first: float, second: float) -> None:
    assume(first + second == 0 or first * second > 1e-200)  # below, doubles run out
    both = metrics.harmonic(first, second)
    assert min(first, second) - 1e-9 <= both <= (first + second) / 2 + 1e-9
    assert both == pytest.approx(metrics.harmonic(second, first))


def test_harmonic_of_nothing_and_of_no_number() -> None:
    assert metrics.harmonic(0.0, 0.0) == 0.0
    assert metrics.harmonic(80.0, 0.0) == 0.0
    assert math.isnan(metrics.harmonic(80.0, float("nan")))
    assert math.isnan(metrics.harmonic(float("nan"), 80.0))


def test_forgetting_by_hand() -> None:
    groups = [
        [80.0],
        [85.0, 60.0],  # the base improves first
        [70.0, 50.0, 40.0],
        [65.0, 55.0, 30.0, 90.0],  # the last group has had no time to be forgotten
    ]
    # best earlier - last: 85 - 65, 60 - 55, 40 - 30
    assert metrics.forgetting(groups) == pytest.approx((20 + 5 + 10) / 3)


def test_accuracy_by_session_of_origin_by_hand() -> None:
    """Two base classes, then one a session: only the sessions that have been, and by images, not by classes."""
    shape = Sessions(base=2, way=1, count=2, shots=5)
    assert metrics.session_accuracies(shape, (9, 15), (10, 30)) == pytest.approx([60.0])
    assert metrics.session_accuracies(shape, (9, 15, 5), (10, 30, 20)) == pytest.approx([60.0, 25.0])
    assert metrics.session_accuracies(shape, (8, 10, 5, 1), (10, 30, 20, 10)) == pytest.approx([45.0, 25.0, 10.0])
    pairs = Sessions(base=1, way=2, count=1, shots=5)
    assert metrics.session_accuracies(pairs, (9, 15, 5), (10, 30, 20)) == pytest.approx([90.0, 40.0])


def test_a_group_that_improves_counts_as_negative_forgetting() -> None:
    assert metrics.forgetting([[50.0], [58.0, 10.0]]) == pytest.approx(-8.0)


def test_nothing_can_be_forgotten_in_session_0() -> None:
    assert math.isnan(metrics.forgetting([[80.0]]))


@pytest.mark.parametrize(("base_accuracy", "last"), [(64.10, 38.46), (61.31, 36.79)], ids=["cifar100", "miniimagenet"])
def test_base_only_ends_where_methods_md_says(base_accuracy: float, last: float) -> None:
    """Section 2.1: 60 base classes of 100, none of the 40 novel ones ever right. 10,000 images a class carry two decimals."""
    right = round(base_accuracy * 100)
    correct, total = [right] * 60 + [0] * 40, [10_000] * 100
    assert metrics.micro(correct, total) == pytest.approx(last, abs=0.005)
    assert metrics.class_count(correct, total, 60) == pytest.approx(last, abs=0.005)
    assert metrics.harmonic_mean(correct, total, 60) == 0.0


@pytest.mark.parametrize(("accuracy", "images", "width"), [(50.0, 10_000, 0.98), (56.0, 5_794, 1.28), (44.0, 5_794, 1.28)])
def test_sampling_half_width(accuracy: float, images: int, width: float) -> None:
    """Section 2: +-0.98 points on CIFAR and mini near 50 %, +-1.28 on CUB."""
    assert metrics.sampling_half_width(accuracy, images) == pytest.approx(width, abs=0.005)


def test_sampling_half_width_vanishes_at_the_ends_and_is_widest_in_the_middle() -> None:
    assert metrics.sampling_half_width(0.0, 100) == metrics.sampling_half_width(100.0, 100) == 0.0
    assert metrics.sampling_half_width(50.0, 5_794) == pytest.approx(1.2874, abs=1e-3)
    assert metrics.sampling_half_width(50.0, 5_794) > metrics.sampling_half_width(30.0, 5_794)


def test_no_image_has_no_accuracy() -> None:
    assert math.isnan(metrics.micro([], []))
