"""Decoding of images, and data roots that cannot be used."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data.images import load_images
from benchmarks.system.errors import DataError, StorageError
from tests.benchmarks.data.mine import Pixels, caches, data_of, noise, train_file

SOURCES = ["cifar100", "cub200", "digits", "folder", "miniimagenet", "mnist", "omniglot"]


def one_image(root: Path, channels: int = 3, size: int = 8, suffix: str = "png") -> Pixels:
    """What becomes of mine/train/a/0, beside one sound image of every other kind."""
    for file in ("train/b/0", "test/a/0", "test/b/0"):
        (root / "mine" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8, 8)).save(root / "mine" / f"{file}.png")
    assert (root / "mine" / "train" / "a" / f"0.{suffix}").is_file()
    return load_images(data_of(channels, size=size), root).train[0]


@pytest.fixture
def foreign_folder() -> Iterator[Callable[[int], Path]]:
    """Makes an empty folder of the given mode; the superuser, whom modes do not bind, becomes nobody for the rest of the test."""
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()
    for source in SOURCES:
        import_module(f"benchmarks.data.sources.{source}")  # nobody may be unable to read the interpreter's own modules

    def make(mode: int) -> Path:
        folder.chmod(mode)
        if user == 0:
            os.seteuid(65534)
        return folder

    yield make
    os.seteuid(user)
    folder.chmod(0o700)
    shutil.rmtree(folder)


# Decoding


def test_images_are_uint8_with_the_channel_first(root: Path) -> None:
    loaded = load_images(data_of(size=12), root)
    assert (loaded.train.shape, loaded.test.shape) == ((6, 3, 12, 12), (3, 3, 12, 12))
    assert loaded.train.dtype == loaded.test.dtype == np.uint8
    assert loaded.train_classes.dtype == np.int64
    assert loaded.train_classes.tolist() == [0, 0, 1, 1, 2, 2]
    for index, image in enumerate([*loaded.train, *loaded.test]):
        assert np.array_equal(image, noise(12, 12, 3, seed=index).transpose(2, 0, 1))


def test_images_are_squashed_to_a_square(root: Path) -> None:
    """Width and height are resized independently, bilinear, as LEC-Net's loaders do (docs/methods.md 1.5)."""
    pixels = noise(30, 17, 3, seed=9)
    Image.fromarray(pixels).save(train_file(root))
    expected = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(load_images(data_of(), root).train[0], expected)


def test_train_size_stores_the_training_images_twice(root: Path) -> None:
    """`train` is what augmentation crops from, `plain` the same images under the test transform."""
    both = load_images(data_of(train_size=10), root)
    assert (both.train.shape[-1], both.plain.shape[-1], both.test.shape[-1]) == (10, 8, 8)
    one = load_images(data_of(), root)
    assert one.train is one.plain
    assert np.array_equal(both.plain, one.plain)
    first = Image.fromarray(noise(12, 12, 3, seed=0)).resize((10, 10), Image.Resampling.BILINEAR)
    assert np.array_equal(both.train[0], np.asarray(first).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_mode_are_converted(mode: str, channels: int, tmp_path: Path) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    image = Image.fromarray(noise(8, 8, 3)).convert(mode)
    image.save(train_file(tmp_path, suffix))
    expected = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    found = one_image(tmp_path, channels, suffix=suffix)
    assert found.shape == (channels, 8, 8)
    assert np.array_equal(found, expected[None] if channels == 1 else expected.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32], ids=["uint16", "int32", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_levels_beyond_eight_bits_are_scaled_or_refused(kind: type, channels: int, tmp_path: Path) -> None:
    """Never clipped: Pillow's own conversion turns such an image all white without a word."""
    ramp: NDArray[Any] = np.linspace(0, 65535, 64).reshape(8, 8).astype(kind)
    Image.fromarray(ramp).save(train_file(tmp_path, "tif"))
    try:
        found = one_image(tmp_path, channels, suffix="tif")
    except DataError as error:
        assert str(train_file(tmp_path, "tif")) in str(error)
    else:
        assert np.abs(found.astype(float) - ramp / 257).max() <= 1


def damaged_png() -> bytes:
    """A sound header and half of the pixels."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(noise(64, 64, 3)).save(file.name)
        content = Path(file.name).read_bytes()
    return content[: len(content) // 2]


def enormous_png() -> bytes:
    """A few bytes that claim to be an image of 40,000 x 40,000."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 8, 0, 0, 0, 0)
    end = b"IEND"
    chunks = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, end)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    "content",
    [damaged_png(), enormous_png(), b"this is text\nof two lines\n", b"", b"\x89PNG\r\n\x1a\n", b"<html>404</html>"],
    ids=["truncated", "enormous", "text", "empty", "signature only", "web page"],
)
def test_unreadable_image_is_named(content: bytes, root: Path) -> None:
    file = train_file(root)
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_images(data_of(), root)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caches(root) == []


def test_only_the_first_classes(root: Path) -> None:
    loaded = load_images(data_of(classes=2), root)
    assert loaded.class_names == ("a", "b")
    assert (loaded.train_classes.tolist(), loaded.test_classes.tolist()) == ([0, 0, 1, 1], [0, 1])
    everything = load_images(data_of(), root)
    assert np.array_equal(loaded.train, everything.train[:4])
    assert np.array_equal(loaded.test, everything.test[:2])


def test_first_classes_keep_their_keys(root: Path) -> None:
    (root / "mine").rename(root / "miniimagenet")
    loaded = load_images(data_of(source="miniimagenet", path=None, classes=2), root)
    assert loaded.keys == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]


def test_unreadable_images_of_other_classes_do_not_matter(root: Path) -> None:
    (root / "mine" / "train" / "c" / "0.png").write_text("not an image")
    assert len(load_images(data_of(classes=2), root).train) == 4


# Folders that cannot be used


@pytest.mark.parametrize("place", ["file", "file/below", "folder with a file called .cache"])
def test_data_root_that_cannot_hold_a_cache(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder with a file called .cache").mkdir()
    (tmp_path / "folder with a file called .cache" / ".cache").write_text("")
    with pytest.raises((DataError, StorageError)) as caught:
        load_images(data_of(1, source="digits", path=None), tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_read_only_data_root(foreign_folder: Callable[[int], Path]) -> None:
    folder = foreign_folder(0o555)
    with pytest.raises((DataError, StorageError)) as caught:
        load_images(data_of(1, source="digits", path=None), folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_data_root_that_may_not_be_read(source: str, foreign_folder: Callable[[int], Path]) -> None:
    """Another user's, say."""
    folder = foreign_folder(0o000)
    with pytest.raises((DataError, StorageError)) as caught:
        load_images(data_of(source=source, path="mine" if source == "folder" else None), folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("source", ["folder", "miniimagenet"])
def test_data_root_that_is_not_there(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_images(data_of(source=source, path="mine" if source == "folder" else None), tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_data_root_is_made_where_nothing_need_be_there(tmp_path: Path) -> None:
    assert len(load_images(data_of(1, source="digits", path=None), tmp_path / "new" / "data").train) == 1198
