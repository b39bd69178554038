"""Class orders and shots: the published ones to the letter, the seeded ones by their properties."""

from __future__ import annotations

import random
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.data.splits import Split, class_order, draw_shots, make_split
from benchmarks.system.errors import DataError, UsageError
from protocols import load_protocol
from protocols.schema import DRAWN_ORDERS, Canonical, Protocol, Sessions, SplitName

CUB = load_protocol("cub200")
SEEDS = st.integers(0, 1000)

# docs/methods.md 1.4: seed -> CUB folder numbers at positions 0-7, 100-103, and the last three
LEC_ORDERS = {
    1: ("34 147 80 20 24 132 13 188", "30 65 133 22", "196 146 35"),
    2: ("52 95 56 36 171 178 21 86", "148 145 53 76", "22 24 15"),
    3: ("159 63 15 70 48 138 111 7", "71 43 76 92", "140 152 61"),
    4: ("137 127 190 52 146 99 1 69", "187 31 166 153", "27 78 61"),
    5: ("18 119 103 35 31 164 154 106", "97 16 26 193", "190 66 160"),
    6: ("84 15 64 182 56 128 22 144", "159 32 57 13", "125 21 147"),
    7: ("29 5 42 169 82 103 121 158", "189 45 89 151", "102 39 83"),
    8: ("84 27 119 72 136 52 200 173", "148 157 154 91", "97 95 59"),
    9: ("25 135 82 161 112 100 171 94", "65 79 188 31", "96 157 119"),
    10: ("13 79 105 37 161 163 49 131", "103 100 196 145", "110 9 147"),
}
# docs/methods.md 1.3: images in the class -> positions drawn, in this order
CANONICAL_POSITIONS = {500: [304, 340, 47, 67, 479], 30: [17, 21, 10, 19, 14], 29: [14, 21, 18, 20, 25]}
CUB_TEST_SIZES = [2864, 3143, 3430, 3728, 4028, 4326, 4614, 4911, 5206, 5494, 5794]  # docs/methods.md 1.1, cumulative
LEC_COUNTS = {1: (2997, 2895), 3: (None, 2900), 10: (None, 2853)}  # docs/methods.md 1.4: base training and test images, where printed
# Two classes of TOPIC's own list (xyutao/fscil, data/index_list/cub200/session_2.txt): one of 30 images, one of 29
TOPIC_SHOTS = {
    "101.White_Pelican": "0081_96148 0075_96422 0026_95832 0022_95897 0044_96028",
    "107.Common_Raven": "0009_102112 0068_101216 0099_102534 0001_101213 0095_101831",
}


@dataclass(frozen=True)
class Images:
    """Class number of every training and test image, and the training images' names in file order."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    keys: list[str]


@pytest.fixture(scope="module")
def cub(shared: Callable[[str], Path]) -> Images:
    """The real lists of all 200 classes."""
    with tarfile.open(shared("cub200_metadata.tar")) as archive:

        def column(name: str) -> list[str]:
            member = archive.extractfile(name)
            assert member is not None
            return [line.split()[1] for line in member.read().decode().splitlines()]

        paths, numbers, flags = column("images.txt"), column("image_class_labels.txt"), column("train_test_split.txt")
    classes = np.array(numbers, dtype=np.int64) - 1
    is_train = np.array(flags) == "1"
    return Images(classes[is_train], classes[~is_train], [path for path, flag in zip(paths, flags, strict=True) if flag == "1"])


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


@pytest.mark.parametrize("seed", LEC_ORDERS)
def test_lec_orders_are_the_released_ones(seed: int) -> None:
    """Suite seeds 0-9 are LEC's 1-10; class numbers are folder numbers less one."""
    folders = [number + 1 for number in class_order(CUB, 200, "lec", seed - 1)]
    first, novel, last = ([int(n) for n in part.split()] for part in LEC_ORDERS[seed])
    assert (folders[:8], folders[100:104], folders[-3:]) == (first, novel, last)
    assert sorted(folders) == list(range(1, 201))


@pytest.mark.parametrize("seed", LEC_COUNTS)
def test_lec_base_has_the_released_number_of_images(seed: int, cub: Images) -> None:
    split = make_split(CUB, "lec", seed - 1, cub.train, cub.test, cub.keys)
    train, test = LEC_COUNTS[seed]
    assert len(split.test[0]) == test
    assert train is None or len(split.train[0]) == train
    assert sum(len(rows) for rows in split.test) == 5794


def test_lec_shots_follow_one_generator_through_the_new_classes(cub: Images) -> None:
    """docs/methods.md 1.4: seeded with 123 once, then five of all per new class, in ascending label order."""
    split = make_split(CUB, "lec", 4, cub.train, cub.test, cub.keys)
    generator = random.Random(123)
    for session in range(1, 11):
        of_session = []
        for label in range(90 + 10 * session, 100 + 10 * session):
            names = [key for key, number in zip(cub.keys, cub.train, strict=True) if number == split.order[label]]
            of_session += generator.sample(names, 5)
        assert [cub.keys[row] for row in split.train[session]] == of_session


def test_lec_has_ten_orders() -> None:
    with pytest.raises(UsageError, match=r"seeds 0-9.*10"):
        class_order(CUB, 200, "lec", 10)


@pytest.mark.parametrize("split", get_args(SplitName))
def test_splits_that_draw_the_class_order_are_listed(split: SplitName) -> None:
    """From equal orders of two seeds on these, a record is called a copy."""
    assert (class_order(CUB, 200, split, 0) != class_order(CUB, 200, split, 1)) == (split in DRAWN_ORDERS)


def test_lec_orders_are_of_all_of_cub() -> None:
    """A shuffle of fewer classes would be an order that nobody released."""
    few = CUB.model_copy(update={"sessions": Sessions(base=25, way=5, count=5, shots=5)})
    with pytest.raises(UsageError, match="split lec is of CUB's 200 classes, the data set has 50"):
        class_order(few, 50, "lec", 0)


@pytest.mark.parametrize("images", CANONICAL_POSITIONS)
def test_canonical_positions(images: int) -> None:
    """Trap 7. They count the class's own images in file order, whatever the class, the seed, and the rows' numbers."""
    rows = np.arange(images, dtype=np.int64) * 3 + 11
    for seed, number in ((0, 60), (7, 99)):
        drawn = draw_shots(rows, 5, "canonical", seed, number, random.Random(0))
        assert ((drawn - 11) // 3).tolist() == CANONICAL_POSITIONS[images]


def test_canonical_cub_is_the_published_one(cub: Images) -> None:
    """make_split compares base counts and the hash of all 500 shots; two classes are compared by name as well."""
    split = make_split(CUB, "canonical", 0, cub.train, cub.test, cub.keys)
    assert split.order == tuple(range(200))
    assert [len(rows) for rows in split.train] == [3000] + [50] * 10
    assert np.cumsum([len(rows) for rows in split.test]).tolist() == CUB_TEST_SIZES
    names = [Path(cub.keys[row]) for row in split.train[1]]
    for folder, shots in TOPIC_SHOTS.items():
        found = [re.sub(r"^[A-Za-z_]+_(?=\d)", "", name.stem) for name in names if name.parent.name == folder]
        assert found == shots.split()


def test_canonical_cub_does_not_depend_on_the_seed(cub: Images) -> None:
    first, second = (make_split(CUB, "canonical", seed, cub.train, cub.test, cub.keys) for seed in (0, 5))
    assert first.indices_sha256 == second.indices_sha256


def test_canonical_cub_in_another_file_order_is_refused(cub: Images) -> None:
    keys = list(cub.keys)
    rows = np.flatnonzero(cub.train == 150)
    keys[rows[17]], keys[rows[18]] = keys[rows[18]], keys[rows[17]]
    with pytest.raises(DataError, match="canonical shots do not match"):
        make_split(CUB, "canonical", 0, cub.train, cub.test, keys)


@pytest.mark.parametrize("split", ["canonical", "paper", "canonical-order", "lec"])
@pytest.mark.parametrize(("train", "test"), [(4693, 1171), (3000, 2863), (2999, 2864)])
def test_another_variant_of_cub_is_refused(train: int, test: int, split: str, cub: Images) -> None:
    """The one of ViT papers has 4,693 / 1,171 base images (docs/methods.md 1.2); one image more or less is as wrong."""
    everything = np.concatenate([cub.train, cub.test])
    base = np.random.default_rng(0).permutation(np.flatnonzero(everything < 100))
    novel, first_test = np.flatnonzero(everything >= 100), len(cub.train)
    train_rows = np.concatenate([base[:train], novel[novel < first_test]])
    test_rows = np.concatenate([base[-test:], novel[novel >= first_test]])
    keys = [str(row) for row in train_rows]
    with pytest.raises(DataError, match=f"3000 training and 2864 test images, these files give {train} and {test}"):
        make_split(CUB, split, 0, everything[train_rows], everything[test_rows], keys)


def test_canonical_hashes_are_sha256() -> None:
    """CIFAR's archive order cannot be had here, so its constant is only looked at; CUB's is checked on the real lists."""
    for name in ("cifar100", "cub200"):
        facts = load_protocol(name).canonical
        assert facts is not None
        assert re.fullmatch(r"[0-9a-f]{64}", facts.shots_sha256 or "")


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
