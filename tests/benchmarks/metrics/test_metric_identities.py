"""Identities that accuracies hold for any counts, and that tables are made of."""

from __future__ import annotations

import itertools
import math
import tarfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from benchmarks.metrics import accuracy as metrics
from benchmarks.records.schema import Record, SessionResult
from benchmarks.report.frame import run_of, to_frame
from protocols.schema import Sessions

Curve = tuple[list[int], list[int]]


@st.composite
def counts(draw: st.DrawFn, equal: bool = False) -> tuple[list[int], list[int], int]:
    """Right answers and images a class, and how many of the classes are base; at least one is novel."""
    classes = draw(st.integers(2, 8))
    size = draw(st.integers(1, 50))
    total = [size] * classes if equal else draw(st.lists(st.integers(1, 50), min_size=classes, max_size=classes))
    correct = [draw(st.integers(0, images)) for images in total]
    return correct, total, draw(st.integers(1, classes - 1))


@st.composite
def runs(draw: st.DrawFn, equal: bool = False) -> tuple[Sessions, list[Curve]]:
    """Right answers and images a class after each session, as a run counts them; in each session the same test images."""
    shape = Sessions(base=draw(st.integers(1, 4)), way=draw(st.integers(1, 3)), count=draw(st.integers(1, 4)), shots=5)
    size = draw(st.integers(1, 40))
    total = [size if equal else draw(st.integers(1, 40)) for _ in range(shape.classes)]
    curves = []
    for number in range(shape.count + 1):
        seen = total[: shape.span(number).stop]
        curves.append(([draw(st.integers(0, images)) for images in seen], seen))
    return shape, curves


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


@given(runs())
def test_accuracies_by_session_of_origin_weighted_by_images_are_all(run: tuple[Sessions, list[Curve]]) -> None:
    shape, curves = run
    for number, (correct, total) in enumerate(curves):
        groups = metrics.session_accuracies(shape, correct, total)
        assert len(groups) == number + 1
        images = [sum(total[span.start : span.stop]) for span in map(shape.span, range(number + 1))]
        assert float(np.dot(groups, images)) / sum(images) == pytest.approx(metrics.micro(correct, total))
        assert groups[0] == pytest.approx(metrics.base_accuracy(correct, total, shape.base))


@given(counts(), st.randoms(use_true_random=False))
def test_classes_of_one_group_may_change_places(drawn: tuple[list[int], list[int], int], random: object) -> None:
    correct, total, base = drawn
    places = list(range(len(total)))
    groups = places[:base], places[base:]
    for group in groups:
        random.shuffle(group)  # type: ignore[attr-defined]
    moved = [correct[place] for group in groups for place in group], [total[place] for group in groups for place in group]
    for metric in (metrics.base_accuracy, metrics.novel_accuracy, metrics.harmonic_mean, metrics.class_count):
        assert metric(*moved, base) == metric(correct, total, base)
    assert metrics.micro(*moved) == metrics.micro(correct, total)


@given(counts())
def test_every_accuracy_lies_between_none_and_all(drawn: tuple[list[int], list[int], int]) -> None:
    correct, total, base = drawn
    for right in (correct, [0] * len(total), total):
        found = [metric(right, total, base) for metric in (metrics.base_accuracy, metrics.novel_accuracy, metrics.class_count)]
        found += [metrics.micro(right, total), metrics.macro(right, total), metrics.harmonic_mean(right, total, base)]
        assert all(0 <= value <= 100 + 1e-9 for value in found)
        if sum(right) in (0, sum(total)):
            assert found == pytest.approx([100 * sum(right) / sum(total)] * 6)


# Class-count against micro: both are means of the old and the new classes' accuracy, the one weighted by classes, the other by
# images. So they lie |share of images - share of classes| of new classes times the distance of the two accuracies apart, and at
# most 100 times that share; the bound is met where all old and no new images are right.


def apart(total: list[int], new: int) -> float:
    """The bound, in points."""
    return 100 * abs(sum(total[-new:]) / sum(total) - new / len(total))


@given(counts())
def test_class_count_and_micro_differ_by_the_weights_of_two_groups(drawn: tuple[list[int], list[int], int]) -> None:
    correct, total, old = drawn
    gap = metrics.class_count(correct, total, old) - metrics.micro(correct, total)
    share = sum(total[old:]) / sum(total) - (len(total) - old) / len(total)
    distance = metrics.base_accuracy(correct, total, old) - metrics.novel_accuracy(correct, total, old)
    assert gap == pytest.approx(share * distance, abs=1e-9)
    bound = apart(total, len(total) - old)
    assert abs(gap) <= bound + 1e-9
    met = [*total[:old], *[0] * (len(total) - old)]
    assert abs(metrics.class_count(met, total, old) - metrics.micro(met, total)) == pytest.approx(bound, abs=1e-9)


@pytest.fixture(scope="module")
def cub_sizes(shared: Callable[[str], Path]) -> list[int]:
    """Test images of CUB's 200 classes, from its own lists."""
    with tarfile.open(shared("cub200_metadata.tar")) as archive:
        files = [archive.extractfile(name) for name in ("image_class_labels.txt", "train_test_split.txt")]
        labels, trained = (file.read().split()[1::2] for file in files if file is not None)
    return np.bincount(np.array(labels, dtype=int)[np.array(trained) == b"0"], minlength=201)[1:].tolist()


def test_class_count_is_micro_on_cub_to_a_third_of_a_point(cub_sizes: list[int]) -> None:
    """5,794 test images, 11 to 30 a class. In the canonical order the two can never be .31 points apart, whatever is predicted."""
    assert (len(cub_sizes), sum(cub_sizes), min(cub_sizes), max(cub_sizes)) == (200, 5_794, 11, 30)
    bounds = [apart(cub_sizes[:seen], 10) for seen in range(110, 201, 10)]
    assert max(bounds) == pytest.approx(0.305, abs=5e-4)


def test_class_count_is_micro_on_cub_to_three_and_a_half_points_in_any_order(cub_sizes: list[int]) -> None:
    """The worst order: a hundred classes of 30 first, then the ten smallest. In a thousand drawn orders, 1.1."""
    ordered = sorted(cub_sizes)
    assert ordered[100] == 30
    assert apart([30] * 100 + ordered[:10], 10) == pytest.approx(3.49, abs=5e-3)
    generator = np.random.default_rng(0)
    drawn = [generator.permutation(cub_sizes).tolist() for _ in range(1_000)]
    worst = max(apart(order[:seen], 10) for order in drawn for seen in range(110, 201, 10))
    assert 0.305 < worst < 1.1


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


one_curve = st.lists(st.floats(0, 100), min_size=2, max_size=11)


@given(one_curve, st.floats(-20, 20))
def test_performance_drop_is_the_sum_of_its_steps(accuracies: list[float], shift: float) -> None:
    steps = [before - after for before, after in itertools.pairwise(accuracies)]
    assert metrics.performance_drop(accuracies) == pytest.approx(sum(steps), abs=1e-9)
    assert metrics.performance_drop([value + shift for value in accuracies]) == pytest.approx(sum(steps), abs=1e-9)
    assert metrics.performance_drop(accuracies[::-1]) == pytest.approx(-sum(steps), abs=1e-9)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.data())
def test_doing_nothing_drops_by_the_share_of_novel_classes(base: int, novel: int, size: int, data: st.DataObject) -> None:
    """docs/methods.md 2.1: BaseOnly keeps A0 * base / seen where classes have equally many images."""
    right = data.draw(st.integers(0, size)) * base
    first = 100 * right / (size * base)
    last = metrics.micro([right // base] * base + [0] * novel, [size] * (base + novel))
    assert metrics.performance_drop([first, last]) == pytest.approx(first * novel / (base + novel), abs=1e-9)


@given(runs(), st.floats(-20, 20))
def test_forgetting_is_of_differences_and_within_bounds(run: tuple[Sessions, list[Curve]], shift: float) -> None:
    shape, curves = run
    matrix = [metrics.session_accuracies(shape, *curve) for curve in curves]
    found = metrics.forgetting(matrix)
    assert -100 <= found <= 100
    assert metrics.forgetting([[value + shift for value in row] for row in matrix]) == pytest.approx(found, abs=1e-9)
    best = [[max(matrix[t][j] for t in range(j, row + 1)) for j in range(row + 1)] for row in range(len(matrix))]
    falling = [[min(matrix[t][j] for t in range(j, row + 1)) for j in range(row + 1)] for row in range(len(matrix))]
    assert metrics.forgetting(best) <= 1e-9, "nothing is forgotten where nothing ever falls"
    first_minus_last = np.mean([falling[j][j] - falling[-1][j] for j in range(len(matrix) - 1)])
    assert metrics.forgetting(falling) == pytest.approx(first_minus_last, abs=1e-9), "where all fall, the best was the first"


# Tables are made from the frame: its numbers are those of the counts ----------------------------------------------------


@given(runs())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frame_says_what_the_counts_say(make_record: Callable[..., Record], run: tuple[Sessions, list[Curve]]) -> None:
    shape, curves = run
    made = make_record()
    sessions = tuple(
        SessionResult(correct=tuple(right), total=tuple(images), images_kept=3, parameters_added=number)
        for number, (right, images) in enumerate(curves)
    )
    record = made.model_copy(update={"sessions": sessions, "identity": made.identity.model_copy(update={"sessions": shape})})
    frame = to_frame([record])
    assert frame["session"].tolist() == frame["parameters_added"].tolist() == list(range(shape.count + 1))
    for row, (correct, total) in zip(frame.to_dict("records"), curves, strict=True):
        shares = [100 * Fraction(sum(correct[part]), sum(total[part])) for part in (slice(None), slice(shape.base))]
        assert [row["accuracy"], row["base"]] == pytest.approx([float(share) for share in shares])
        if row["session"] == 0:
            assert math.isnan(row["novel"])
            assert math.isnan(row["hm"])
            assert row["class_count"] == pytest.approx(row["accuracy"])
            continue
        novel = Fraction(100 * sum(correct[shape.base :]), sum(total[shape.base :]))
        both = novel + shares[1]
        assert row["novel"] == pytest.approx(float(novel))
        assert row["hm"] == pytest.approx(float(2 * novel * shares[1] / both) if both else 0.0)
        assert abs(row["class_count"] - row["accuracy"]) <= apart(total, shape.way) + 1e-9
    assert run_of(record).matrix == [metrics.session_accuracies(shape, *curve) for curve in curves]


@given(runs(equal=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_class_count_is_micro_in_every_frame_of_equally_many_images(
    make_record: Callable[..., Record], run: tuple[Sessions, list[Curve]]
) -> None:
    shape, curves = run
    made = make_record()
    sessions = tuple(SessionResult(correct=tuple(right), total=tuple(n), images_kept=0, parameters_added=0) for right, n in curves)
    frame = to_frame([made.model_copy(update={"sessions": sessions, "identity": made.identity.model_copy(update={"sessions": shape})})])
    assert frame["class_count"].tolist() == pytest.approx(frame["accuracy"].tolist())
