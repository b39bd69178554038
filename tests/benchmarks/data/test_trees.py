"""Folders of images as people have them: numbered classes, links, strange suffixes, transparency, turned photographs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data.images import ImageSet, load_images
from benchmarks.records.predictions import pack_predictions, recount
from benchmarks.system.errors import DataError
from protocols.schema import Data

Write = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
DATA = Data(source="folder", path="tree", size=4, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), value, dtype=np.uint8)


@pytest.fixture
def tree(tmp_path: Path, write_images: Write) -> Path:
    """Two classes, one training and one test image each."""
    write_images(
        tmp_path / "tree", {f"{part}/{c}/{part}.png": picture(10 * c + k) for c in (1, 2) for k, part in enumerate(("train", "test"))}
    )
    return tmp_path / "tree"


def load(tree: Path) -> ImageSet:
    return load_images(DATA, tree.parent)


def test_numbered_classes_stand_in_the_order_of_their_numbers(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "tree", {f"{part}/{c}/{part}.png": picture(c) for c in range(12) for part in ("train", "test")})
    assert load(tmp_path / "tree").class_names == tuple(map(str, range(12)))
    write_images(tmp_path / "tree", {f"{part}/x/{part}.png": picture(99) for part in ("train", "test")})
    assert load(tmp_path / "tree").class_names[:3] == ("0", "1", "10"), "names that are not all numbers stay in the order of letters"


def test_a_hundred_sessions_and_more_are_counted_in_their_order() -> None:
    labels = np.arange(120, dtype=np.int16)
    packed = pack_predictions([labels[: t + 1] for t in range(120)], labels)
    assert [len(total) for _, total in recount(packed)] == list(range(1, 121))


@pytest.mark.parametrize("link", ["symbolic", "hard"])
@pytest.mark.parametrize("place", ["test/1/again.png", "train/2/again.png", "train/1/again.png"])
def test_one_file_in_two_places_is_refused_by_name(link: str, place: str, tree: Path) -> None:
    (tree / place).symlink_to(tree / "train/1/train.png") if link == "symbolic" else (tree / place).hardlink_to(tree / "train/1/train.png")
    with pytest.raises(DataError, match=r"(train\.png and .*again|again\.png and .*train)\.png are one file"):
        load(tree)


def test_a_test_folder_that_is_the_training_folder_is_refused(tree: Path) -> None:
    for file in sorted((tree / "test").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (tree / "test").rmdir()
    (tree / "test").symlink_to(tree / "train", target_is_directory=True)
    with pytest.raises(DataError, match="are one file"):
        load(tree)


@pytest.mark.parametrize("of_train", ["e\u0301", "\u00e9"], ids=["decomposed", "composed"])
def test_a_class_in_two_unicode_forms_is_one_class(of_train: str, tmp_path: Path, write_images: Write) -> None:
    """macOS writes accents as letters of their own (NFD), other systems do not."""
    of_test = ({"e\u0301", "\u00e9"} - {of_train}).pop()
    folders = {f"train/{of_train}": 1, f"test/{of_test}": 2, "train/f": 3, "test/f": 4, "train/Z": 5, "test/Z": 6}
    write_images(tmp_path / "tree", {f"{folder}/x.png": picture(value) for folder, value in folders.items()})
    images = load(tmp_path / "tree")
    assert images.class_names == tuple(sorted(("Z", "f", of_train))), "the training part's names and order"
    pixels = [images.test[list(images.test_classes).index(images.class_names.index(name))].flat[0] for name in (of_train, "f", "Z")]
    assert pixels == [2, 4, 6]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("train/Cat", "test/cat"), r"class 'Cat' of train and 'cat' of test differ only in capitals or"),
        (("train/a b", "test/a\u00a0b"), r"class 'a b' of train and 'a\\xa0b' of test differ only in"),
        (("train/\u00e9", "train/e\u0301", "test/\u00e9", "test/e\u0301"), r"classes 'e\\u0301' and '\\xe9' of train are the same letters"),
        (("train/dog", "test/cat"), r"class 'cat' is in test and not in train"),
    ],
)
def test_names_that_look_the_same_are_named(folders: tuple[str, ...], said: str, tree: Path, write_images: Write) -> None:
    write_images(tree, {f"{folder}/x.png": picture(50 + value) for value, folder in enumerate(folders)})
    with pytest.raises(DataError, match=said):
        load(tree)


def test_what_is_left_out_is_counted_in_one_line(tree: Path) -> None:
    (tree / "train" / "1" / "notes.txt").write_text("x")
    (tree / "train" / "1" / "deeper").mkdir()
    (tree / "test" / "2" / "._test.png").write_bytes(b"of a Mac")
    for part in ("train", "test"):
        (tree / part / ".ipynb_checkpoints").mkdir()
        (tree / part / "gone").symlink_to(tree / "nowhere")
    images = load(tree)
    assert images.class_names == ("1", "2")
    [line] = images.notes
    assert line.startswith("tree: 7 entries are left out, no images by their names or not in place: train/")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG"])
def test_other_names_of_jpeg_are_read(suffix: str, tree: Path) -> None:
    Image.fromarray(picture(200)).save(tree / "train" / "1" / f"other.{suffix}", format="JPEG")
    assert len(load(tree).train) == 3


def test_transparency_is_composed_on_white(tree: Path) -> None:
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[:2, :, 3] = 255
    Image.fromarray(pixels).save(tree / "train" / "1" / "half.png")
    images = load(tree)
    half = images.train[0]
    assert (half[:, :2] == 0).all()
    assert (half[:, 2:] == 255).all()


def test_a_turned_photograph_is_turned_upright(tree: Path) -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[0] = 255
    tags = Image.Exif()
    tags[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tree / "train" / "1" / "a.png", exif=tags)
    upright = load(tree).train[0]
    assert (upright[:, -1] == 255).all()
    assert (upright[:, 0] == 0).all()


def test_a_name_that_is_no_text_is_named(tree: Path) -> None:
    (tree / "train/1/train.png").rename(tree / "train/1" / os.fsdecode(b"a\xff.png"))
    with pytest.raises(DataError, match=r"a\\udcff\.png': this name is no text in UTF-8; rename it$"):
        load(tree)
