"""Published class orders and shots, to the letter: LEC-Net's, and the canonical ones."""

from __future__ import annotations

import random
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.data.splits import class_order, draw_shots, make_split
from benchmarks.system.errors import DataError, UsageError
from protocols import load_protocol
from protocols.schema import Sessions
from tests.benchmarks.data.test_splits import CUB

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
