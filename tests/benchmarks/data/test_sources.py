"""What each source finds under the data root, in which order, and what it says where something is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.data.images import load_images
from benchmarks.data.sources import cifar100, cub200, locate, mnist, omniglot
from benchmarks.data.splits import make_split
from protocols import load_protocol
from tests.benchmarks.data.conftest import WriteImages, data_of, grey, read, refused, tree


def test_folder_tree(write_images: WriteImages, tmp_path: Path) -> None:
    """Classes and files in sorted order, whatever order the file system gives them; other files are passed over."""
    images = tree("b", "a10", "a9")
    write_images(tmp_path / "my" / "birds", dict(reversed(images.items())))
    (tmp_path / "my" / "birds" / "train" / "a9" / "notes.txt").write_text("not an image")
    (tmp_path / "my" / "birds" / "train" / "README.md").write_text("not a class")
    raw = read(data_of("folder", path="my/birds"), tmp_path)
    assert raw.class_names == ("a10", "a9", "b")
    assert [str(file.relative_to(tmp_path / "my" / "birds")) for file in raw.train.images if isinstance(file, Path)] == [
        f"train/{name}/{i}.png" for name in ("a10", "a9", "b") for i in (0, 1)
    ]
    assert raw.train.classes.tolist() == raw.test.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.keys is None  # the original order of the files is not known


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "JPEG", "bmp", "webp", "gif", "tif", "pgm"])
def test_folder_tree_of_other_formats(suffix: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", tree("a", "b", suffix=suffix))
    loaded = load_images(data_of("folder", path="mine"), tmp_path)
    levels = loaded.train.reshape(4, -1).astype(int)
    assert np.abs(levels - [[10], [11], [12], [13]]).max() <= 2  # jpg and webp are not exact


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("test", "train")])
def test_class_in_only_one_part(part: str, other: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", {**tree("a", "b"), f"{part}/wren/0.png": grey(0)})
    with refused("mine", f"class 'wren' is in {part} and not in {other}"):
        locate(data_of("folder", path="mine"), tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_class_without_images(part: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", tree("a", "b"))
    shutil.rmtree(tmp_path / "mine" / part / "b")
    (tmp_path / "mine" / part / "b").mkdir()
    (tmp_path / "mine" / part / "b" / "list.txt").write_text("")
    with refused("mine", tmp_path / "mine" / part / "b", "no image"):
        locate(data_of("folder", path="mine"), tmp_path)


@pytest.mark.parametrize("there", [[], ["mine"], ["mine/train"], ["mine/test/a"]])
def test_folder_that_is_not_there(there: list[str], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    with refused("mine", tmp_path / "mine", "train/<class>/<images>", "test/<class>/<images>"):
        locate(data_of("folder", path="mine"), tmp_path)


def test_folder_without_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    with refused("mine", tmp_path / "mine" / "train", "no class folders"):
        locate(data_of("folder", path="mine"), tmp_path)


def test_fingerprint_changes_with_the_files(write_images: WriteImages, tmp_path: Path) -> None:
    data = data_of("folder", path="mine")
    write_images(tmp_path / "mine", tree("a", "b"))
    first = locate(data, tmp_path).fingerprint
    assert locate(data, tmp_path).fingerprint == first
    (tmp_path / "mine/train/a/0.png").rename(tmp_path / "mine/train/a/00.png")
    second = locate(data, tmp_path).fingerprint
    write_images(tmp_path / "mine", {"test/b/0.png": grey(0, side=90)})
    assert len({first, second, locate(data, tmp_path).fingerprint}) == 3


# Nothing there, and no network


@pytest.mark.parametrize(
    ("source", "module", "function", "fetched"),
    [
        ("cifar100", cifar100, "download", "cifar-100-python.tar.gz"),
        ("cub200", cub200, "download", "CUB_200_2011.tgz"),
        ("mnist", mnist, "download", "train-images-idx3-ubyte"),
        ("omniglot", omniglot, "download", "images_background.zip"),
    ],
)
@pytest.mark.parametrize("error", [URLError("no route\nto host"), OSError(28, "No space left on device"), RuntimeError()], ids=repr)
def test_failed_download_says_what_to_fetch_and_where_to_put_it(
    source: str, module: Any, function: str, fetched: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, function, fail)
    with refused(source, fetched, tmp_path, str(error).split("\n")[0] or type(error).__name__):
        locate(data_of(source), tmp_path)


def test_miniimagenet_cannot_be_downloaded(tmp_path: Path) -> None:
    with refused("miniimagenet", tmp_path / "miniimagenet", "split/train.csv", "train/<wnid>/"):
        locate(data_of("miniimagenet"), tmp_path)


@pytest.mark.parametrize("source", ["cifar100", "cub200", "mnist"])
def test_a_class_folder_tree_serves_where_the_archive_is_not_there(source: str, write_images: WriteImages, tmp_path: Path) -> None:
    """Without keys: the original order is lost, so the canonical shots are refused rather than wrong."""
    write_images(tmp_path / source, tree("a", "b"))
    raw = read(data_of(source), tmp_path)
    assert (raw.class_names, raw.keys) == (("a", "b"), None)


def test_canonical_shots_are_refused_on_a_cifar_tree(write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "cifar100", tree(*(f"{n:02}" for n in range(100)), each=1))
    raw = read(data_of("cifar100"), tmp_path)
    with refused("canonical-order"):
        make_split(load_protocol("cifar100"), "canonical", 0, raw.train.classes, raw.test.classes, raw.keys)


def test_damaged_cifar_archive(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"half")
    with refused("cifar100", tmp_path):
        load_images(data_of("cifar100"), tmp_path)


def test_digits(tmp_path: Path) -> None:
    """1,797 images, every third one for testing; 17 grey levels spread over 0..255."""
    loaded = load_images(data_of("digits"), tmp_path)
    assert (loaded.train.shape, loaded.test.shape) == ((1198, 1, 8, 8), (599, 1, 8, 8))
    assert loaded.class_names == tuple("0123456789")
    assert (loaded.train.min(), loaded.train.max(), len(np.unique(loaded.train))) == (0, 255, 17)
    digits = load_digits()
    assert loaded.test_classes.tolist() == digits.target[2::3].tolist()
    assert np.abs(loaded.test[:, 0] / 255 - digits.images[2::3] / 16).max() < 0.5 / 255 + 1e-9
