"""Class orders and shots by their properties: whole, repeatable, and each drawn by itself."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.data.splits import Split, class_order, make_split
from benchmarks.system.errors import DataError, UsageError
from protocols import load_protocol
from protocols.schema import DRAWN_ORDERS, Canonical, Protocol, Sessions, SplitName

CUB = load_protocol("cub200")
SEEDS = st.integers(0, 1000)


def protocol_of(base: int, way: int, count: int, shots: int) -> Protocol:
    """CUB's protocol with other sessions; all splits are offered and no canonical facts are asked for."""
    return CUB.model_copy(update={"sessions": Sessions(base=base, way=way, count=count, shots=shots), "canonical": None})


def interleaved(classes: int, each: int, seed: int = 0) -> NDArray[np.int64]:
    """`each` images of every class, in no order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), each))


def session_classes(split: Split, classes: NDArray[np.int64], rows: NDArray[np.int64]) -> list[int]:
    return sorted(set(split.labels(classes)[rows].tolist()))


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Protocol, int]:
    """A protocol, and a number of classes that is enough for it."""
    base, way, count = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(0, 4))
    protocol = protocol_of(base, way, count, draw(st.integers(1, 6)))
    return protocol, protocol.sessions.classes + draw(st.integers(0, 5))


@pytest.mark.parametrize("split", get_args(SplitName))
def test_splits_that_draw_the_class_order_are_listed(split: SplitName) -> None:
    """From equal orders of two seeds on these, a record is called a copy."""
    assert (class_order(CUB, 200, split, 0) != class_order(CUB, 200, split, 1)) == (split in DRAWN_ORDERS)


@pytest.mark.parametrize("split", ["canonical", "lec"])
def test_splits_that_need_the_file_order_say_so(split: str) -> None:
    classes = interleaved(20, 30)
    with pytest.raises(DataError, match="canonical-order") as caught:
        make_split(protocol_of(10, 5, 2, 5), split, 0, classes, classes, None)
    assert len(str(caught.value).splitlines()) == 1


def test_canonical_order_needs_no_file_order() -> None:
    classes = interleaved(20, 30)
    protocol = protocol_of(10, 5, 2, 5)
    first, second = (make_split(protocol, "canonical-order", seed, classes, classes) for seed in (0, 1))
    assert first.order == second.order == tuple(range(20))
    assert np.array_equal(first.train[0], second.train[0])
    assert not np.array_equal(first.train[1], second.train[1])  # its shots are drawn anew for every seed


@given(case=sessions(), seed=SEEDS, split=st.sampled_from(["paper", "canonical-order", "canonical"]))
def test_every_split_is_a_partition(case: tuple[Protocol, int], seed: int, split: str) -> None:
    """Each session brings its own classes and no others, in training and test, and the asked number of shots."""
    protocol, classes = case
    s = protocol.sessions
    train, test = interleaved(classes, 7), interleaved(classes, 3, seed=1)
    result = make_split(protocol, split, seed, train, test, [str(row) for row in range(len(train))])
    assert len(result.order) == len(set(result.order)) == s.classes
    assert len(result.train) == len(result.test) == s.count + 1
    for session in range(s.count + 1):
        labels = list(s.span(session))
        assert session_classes(result, train, result.train[session]) == labels
        assert session_classes(result, test, result.test[session]) == labels
        assert len(result.test[session]) == 3 * len(labels)
        of_labels = np.bincount(result.labels(train)[result.train[session]], minlength=s.classes)[labels]
        assert set(of_labels.tolist()) == {7 if session == 0 else s.shots}
    for rows in (np.concatenate(result.train), np.concatenate(result.test)):
        assert len(set(rows.tolist())) == len(rows)


@given(case=sessions(), seed=SEEDS)
def test_same_seed_same_split(case: tuple[Protocol, int], seed: int) -> None:
    protocol, classes = case
    train = interleaved(classes, 7)
    first, second = (make_split(protocol, "paper", seed, train, train) for _ in range(2))
    assert (first.order, first.indices_sha256, first.base_sha256) == (second.order, second.indices_sha256, second.base_sha256)


def test_other_seed_other_order_and_other_shots() -> None:
    """Trap 4: the order is the seed's, and its hash, which goes into the record, tells."""
    protocol = protocol_of(60, 5, 8, 5)
    train = interleaved(100, 50)
    splits = [make_split(protocol, "paper", seed, train, train) for seed in range(10)]
    assert len({split.order for split in splits}) == 10
    assert len({split.order_sha256 for split in splits}) == 10
    assert len({split.base_sha256 for split in splits}) == 10
    number = next(n for n in splits[0].order[60:] if n in splits[1].order[60:])
    shots = [set(rows for part in split.train[1:] for rows in part.tolist() if train[rows] == number) for split in splits[:2]]
    assert len(shots[0]) == len(shots[1]) == 5
    assert shots[0] != shots[1]


@given(case=sessions(), seed=SEEDS, split=st.sampled_from(["paper", "canonical-order", "canonical"]))
def test_more_sessions_leave_the_earlier_ones_alone(case: tuple[Protocol, int], seed: int, split: str) -> None:
    protocol, classes = case
    s = protocol.sessions
    longer = protocol_of(s.base, s.way, s.count + 1, int(s.shots))
    train = interleaved(classes + s.way, 7)
    keys = [str(row) for row in range(len(train))]
    short, long = (make_split(p, split, seed % 10, train, train, keys) for p in (protocol, longer))
    assert long.order[: s.classes] == short.order
    assert all(np.array_equal(a, b) for a, b in zip(short.train, long.train[:-1], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(short.test, long.test[:-1], strict=True))


@given(case=sessions(), seed=SEEDS, others=st.integers(7, 20))
def test_shots_of_a_class_do_not_depend_on_the_others(case: tuple[Protocol, int], seed: int, others: int) -> None:
    """However many images the other classes have and wherever they stand, a class keeps the same of its own images."""
    protocol, classes = case
    kept = classes // 2
    first = interleaved(classes, 7)
    second = np.concatenate([np.full(7, kept), np.repeat(np.delete(np.arange(classes), kept), others)])
    positions = []
    for train in (first, np.random.default_rng(1).permutation(second)):
        split = make_split(protocol, "paper", seed, train, train)
        own = np.flatnonzero(train == kept)
        positions.append([np.flatnonzero(np.isin(own, rows)).tolist() for rows in split.train])
    assert positions[0] == positions[1]


def test_every_class_has_a_draw_of_its_own() -> None:
    """Not the same positions in all of them, as the canonical shots have."""
    train = np.repeat(np.arange(100), 50)
    split = make_split(protocol_of(60, 5, 8, 5), "paper", 0, train, train)
    positions = np.concatenate(split.train[1:]).reshape(40, 5) % 50
    assert len({tuple(of_class) for of_class in positions.tolist()}) == 40


@given(case=sessions(), seed=SEEDS)
def test_labels_and_class_numbers_are_a_bijection(case: tuple[Protocol, int], seed: int) -> None:
    protocol, classes = case
    train = interleaved(classes, 7)
    split = make_split(protocol, "paper", seed, train, train)
    numbers = np.arange(classes + 3)  # some that the data set does not even have
    labels = split.labels(numbers)
    shown = labels >= 0
    assert sorted(labels[shown].tolist()) == list(range(protocol.sessions.classes))
    assert [split.order[label] for label in labels[shown]] == numbers[shown].tolist()
    assert set(labels[~shown].tolist()) <= {-1}
    assert set(numbers[~shown].tolist()).isdisjoint(split.order)


def test_all_images_where_shots_is_all() -> None:
    protocol = CUB.model_copy(update={"sessions": Sessions(base=2, way=2, count=4, shots="all"), "canonical": None})
    train = interleaved(10, 7)
    split = make_split(protocol, "paper", 0, train, train)
    assert [len(rows) for rows in split.train] == [14] * 5


def test_split_that_the_protocol_does_not_offer() -> None:
    train = interleaved(10, 7)
    with pytest.raises(UsageError, match=r"digits has no split 'lec'; it has: paper, canonical-order"):
        make_split(load_protocol("digits"), "lec", 0, train, train)


@pytest.mark.parametrize("split", ["paper", "canonical-order", "lec"])
def test_too_few_classes(split: str) -> None:
    train = interleaved(19, 7)
    with pytest.raises(DataError, match=r"need 20 classes, but the data set has 19; complete it, or"):
        make_split(protocol_of(10, 5, 2, 5), split, 0, train, train, [""] * len(train))


@pytest.mark.parametrize("split", ["paper", "canonical-order", "canonical"])
def test_too_few_images_in_a_class(split: str) -> None:
    train = interleaved(20, 5)
    with pytest.raises(DataError, match=r"class \d+ has 5 training images, but 6 shots"):
        make_split(protocol_of(10, 5, 2, 6), split, 0, train, train, [""] * len(train))


@pytest.mark.parametrize("missing", [3, 12, 19])  # of the base, of a session, the last of all
def test_class_without_test_images(missing: int) -> None:
    train = interleaved(20, 7)
    with pytest.raises(DataError, match=rf"no test images of 1 classes, the first is number {missing}$"):
        make_split(protocol_of(10, 5, 2, 5), "paper", 0, train, train[train != missing])


@pytest.mark.parametrize("missing", [3, 12])
def test_class_without_training_images(missing: int) -> None:
    train = interleaved(20, 7)
    with pytest.raises(DataError, match=rf"\b{missing}\b"):
        make_split(protocol_of(10, 5, 2, 5), "canonical-order", 0, train[train != missing], train)


def test_class_that_is_not_shown_may_be_empty() -> None:
    """Of 22 classes 20 are used: what the other two hold is nobody's business."""
    train = interleaved(22, 7)
    protocol = protocol_of(10, 5, 2, 5).model_copy(update={"canonical": Canonical(base_train=70, base_test=70)})
    assert make_split(protocol, "canonical-order", 0, train, train[train != 21]).order == tuple(range(20))
