"""Equal pictures in different files: counted in one line, and never refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.equal import equal_groups, equal_pictures
from benchmarks.data.images import ImageSet, load_images
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.methods.runs import identity_of

Numbers = tuple[int, ...]


def pictures(*values: int) -> np.ndarray:
    """Pictures of 3 x 10 x 10 pixels, equal where the values are; all have the same pixel at most places."""
    result = np.full((len(values), 3, 10, 10), 7, dtype=np.uint8)
    result[:, 1, 3, 3] = values
    return result


def images(train: Numbers, train_classes: Numbers, test: Numbers, test_classes: Numbers) -> ImageSet:
    plain, held_out = pictures(*train), pictures(*test)
    return ImageSet(("a", "b"), plain, plain, held_out, np.array(train_classes), np.array(test_classes), None, "0" * 64)


@pytest.mark.parametrize(
    ("train", "train_classes", "test", "test_classes", "said"),
    [
        ((1, 2, 3), (0, 0, 1), (4, 5), (0, 1), None),
        ((1, 1, 2), (0, 0, 1), (3, 3), (1, 1), None),  # twice in one class, on one side
        ((1, 2, 3), (0, 0, 1), (1, 4), (0, 1), "1 training image has exactly the pixels of a test image"),
        ((1, 1, 3), (0, 0, 1), (1, 3), (0, 1), "3 training images have exactly the pixels of a test image"),
        ((1, 1, 3), (0, 1, 1), (4, 5), (0, 1), "2 images with equal pixels stand in two classes"),
        (
            (1, 2),
            (0, 1),
            (2, 2),
            (0, 0),
            "1 training image has exactly the pixels of a test image, 3 images with equal pixels stand in two classes",
        ),
    ],
)
def test_equal_pictures_are_counted(train: Numbers, train_classes: Numbers, test: Numbers, test_classes: Numbers, said: str | None) -> None:
    assert equal_pictures(images(train, train_classes, test, test_classes)) == ((f"{said}; used as they are",) if said else ())


def test_pictures_that_differ_in_one_pixel_are_not_equal() -> None:
    assert equal_groups([pictures(1, 2), pictures(3, 2)]).tolist() == [-1, 0, -1, 0]
    one, two = np.zeros((2, 1, 40, 40), dtype=np.uint8), np.zeros((1, 1, 40, 40), dtype=np.uint8)
    two[0, 0, 0, 1] = 1  # not among the pixels that are compared first
    assert equal_groups([one, two]).tolist() == [0, 0, -1]


def test_a_run_keeps_what_its_page_is_to_say(tiny: Protocol, data_root: Path, tmp_path: Path) -> None:
    own = load_images(tiny.data, data_root)
    test = np.array(own.test)
    test[:2] = own.plain[:2]
    runner = Runner(tiny, Settings(data_root, tmp_path, "cpu", 1), dataclasses.replace(own, test=test, sha256="f" * 64))
    _, costs, _ = runner.run(identity_of(tiny, "base_only"))
    assert costs.equal_pictures == equal_pictures(runner.images)
    assert "2 training images have exactly the pixels of a test image" in costs.equal_pictures[0]
