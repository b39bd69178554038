"""Accuracies against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.metrics import accuracy as metrics
from protocols.schema import Sessions

# Two base classes of 10 and 30 images, one novel class of 20.
CORRECT, TOTAL = (9, 15, 5), (10, 30, 20)


def test_hand_computed_values() -> None:
    assert metrics.micro(CORRECT, TOTAL) == pytest.approx(100 * 29 / 60)
    assert metrics.macro(CORRECT, TOTAL) == pytest.approx((90 + 50 + 25) / 3)
    assert metrics.base_accuracy(CORRECT, TOTAL, 2) == pytest.approx(60.0)
    assert metrics.novel_accuracy(CORRECT, TOTAL, 2) == pytest.approx(25.0)
    assert metrics.harmonic_mean(CORRECT, TOTAL, 2) == pytest.approx(2 * 60 * 25 / 85)
    assert metrics.class_count(CORRECT, TOTAL, 2) == pytest.approx((60 * 2 + 25 * 1) / 3)
    assert metrics.performance_drop([70.0, 90.0, 40.5]) == pytest.approx(29.5)
    assert metrics.knowledge_retention([80.0, 90.0, 20.0]) == pytest.approx(25.0)
    assert metrics.knowledge_retention([0.0, 50.0]) == 0
    assert metrics.hm_base_novel_macro(CORRECT, TOTAL, 2) == pytest.approx(2 * 70 * 25 / 95)  # (90 + 50) / 2 and 25
    assert metrics.hm_old_new_micro(CORRECT, TOTAL, 1) == pytest.approx(2 * 90 * 40 / 130)  # 9 of 10; 15 + 5 of 30 + 20


def test_session_0_has_no_novel_class() -> None:
    correct, total = (9, 15), (10, 30)
    assert math.isnan(metrics.novel_accuracy(correct, total, 2))
    assert math.isnan(metrics.harmonic_mean(correct, total, 2))
    assert math.isnan(metrics.hm_base_novel_macro(correct, total, 2))
    assert math.isnan(metrics.hm_old_new_micro(correct, total, 0))
    assert metrics.base_accuracy(correct, total, 2) == pytest.approx(60.0)


def test_generalised_accuracy_by_hand() -> None:
    """Base of two classes, one class a session: alpha 0, 1, 2. Session 0: 80; 1: 60, 40; 2: 50, 20, 10."""
    rows = [[80.0], [60.0, 40.0], [50.0, 20.0, 10.0]]
    nothing = (0 + 40 + 15) / 3  # alpha 0: novel classes alone
    one = (80 + 50 + 80 / 3) / 3
    two = (80 + 160 / 3 + 130 / 4) / 3  # every class counts the same
    assert metrics.generalised_accuracy(rows, 2, 1) == pytest.approx(((nothing + one) / 2 + (one + two) / 2) / 2)
    assert metrics.generalised_accuracy(rows, 1, 5) == pytest.approx((nothing + one) / 2), "a base smaller than a session"
    assert metrics.generalised_accuracy(rows, 5, 3) == metrics.generalised_accuracy(rows, 2, 1), "5 / 3 is rounded to 2"


@pytest.mark.parametrize("old", [0, 2], ids=["all new", "all old"])
def test_class_count_with_one_group_only_is_that_group(old: int) -> None:
    assert metrics.class_count((9, 15), (10, 30), old) == pytest.approx(60.0)


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
