"""Decoding, and the cache of decoded images: never half, never stale, never trusted unread."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import images as datasets
from benchmarks.data.images import ImageSet, load_images
from benchmarks.system.errors import DataError, StorageError
from protocols.schema import Data

Pixels = NDArray[np.uint8]
WriteImages = Callable[[Path, dict[str, Pixels]], None]
SOURCES = ["cifar100", "cub200", "digits", "folder", "miniimagenet", "mnist", "omniglot"]
CACHED_FILES = ["index.json", "plain.npy", "test.npy", "train.npy", "test_classes.npy", "train_classes.npy"]


def data_of(channels: int = 3, **changes: Any) -> Data:
    fields = {"source": "folder", "path": "mine", "size": 8, "channels": channels, "mean": [0.5] * channels, "std": [0.5] * channels}
    return Data.model_validate({**fields, **changes})


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def root(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with `mine`: three classes, two training images and one test image of each, 12 x 12 RGB."""
    files = [f"{part}/{name}/{i}.png" for part, each in (("train", 2), ("test", 1)) for name in "abc" for i in range(each)]
    write_images(tmp_path / "mine", {file: noise(12, 12, 3, seed=index) for index, file in enumerate(files)})
    return tmp_path


def one_image(root: Path, channels: int = 3, size: int = 8, suffix: str = "png") -> Pixels:
    """What becomes of mine/train/a/0, beside one sound image of every other kind."""
    for file in ("train/b/0", "test/a/0", "test/b/0"):
        (root / "mine" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8, 8)).save(root / "mine" / f"{file}.png")
    assert (root / "mine" / "train" / "a" / f"0.{suffix}").is_file()
    return load_images(data_of(channels, size=size), root).train[0]


def train_file(root: Path, suffix: str = "png") -> Path:
    path = root / "mine" / "train" / "a" / f"0.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def caches(root: Path) -> list[Path]:
    """Everything in the cache but the lock files."""
    return sorted(path for path in (root / ".cache").iterdir() if path.suffix != ".lock")


def replace(file: Path, content: bytes) -> None:
    """By another file of that name: images that were loaded before go on showing the old one."""
    file.unlink()
    file.write_bytes(content)


def same(one: ImageSet, other: ImageSet) -> bool:
    arrays = ("train", "plain", "test", "train_classes", "test_classes")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    return equal and (one.class_names, one.keys, one.sha256) == (other.class_names, other.keys, other.sha256)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every call to `decode`, which goes on working."""
    calls: list[int] = []
    decode = datasets.decode

    def counting(part: Any, size: int, channels: int) -> Pixels:
        calls.append(len(part.images))
        return decode(part, size, channels)

    monkeypatch.setattr(datasets, "decode", counting)
    return calls


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


# The cache


def test_second_load_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_images(data_of(train_size=10), root)

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(datasets, "decode", fail)
    assert same(load_images(data_of(train_size=10), root), first)


@pytest.mark.parametrize("changes", [{"size": 9}, {"train_size": 10}, {"classes": 2}, {"channels": 1}], ids=repr)
def test_other_settings_have_a_cache_of_their_own(changes: dict[str, Any], root: Path, decoded: list[int]) -> None:
    first = load_images(data_of(), root)
    decoded.clear()
    assert load_images(data_of(**changes), root).sha256 != first.sha256
    assert decoded
    decoded.clear()
    assert same(load_images(data_of(), root), first)
    assert not decoded


def test_mean_and_std_need_no_new_cache(root: Path, decoded: list[int]) -> None:
    load_images(data_of(), root)
    decoded.clear()
    load_images(data_of(mean=[0.1] * 3), root)
    assert not decoded


@pytest.mark.parametrize("name", CACHED_FILES)
def test_a_flipped_bit_is_noticed(name: str, root: Path, decoded: list[int]) -> None:
    """In the middle of each file, and in its last byte but one."""
    data = data_of(train_size=10)
    first = load_images(data, root)
    (folder,) = caches(root)
    size = (folder / name).stat().st_size
    for place in (size // 2, size - 2):
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 1
        replace(folder / name, bytes(content))
        decoded.clear()
        assert same(load_images(data, root), first)
        assert decoded
    assert caches(root) == [folder]


def test_changed_names_in_the_index_are_noticed(root: Path) -> None:
    """The index says which class is which: it must not be believed because it is valid JSON."""
    first = load_images(data_of(), root)
    (folder,) = caches(root)
    index = folder / "index.json"
    text = index.read_text()
    assert '["a", "b", "c"]' in text
    index.write_text(text.replace('["a", "b", "c"]', '["a", "c", "b"]'))
    assert load_images(data_of(), root).class_names == first.class_names


@pytest.mark.parametrize("kept", [0, 1, 200])
@pytest.mark.parametrize("name", CACHED_FILES)
def test_a_truncated_file_is_noticed(name: str, kept: int, root: Path) -> None:
    data = data_of(train_size=10)
    first = load_images(data, root)
    (folder,) = caches(root)
    replace(folder / name, (folder / name).read_bytes()[:kept])
    assert same(load_images(data, root), first)


@pytest.mark.parametrize("name", CACHED_FILES)
def test_a_deleted_file_is_noticed(name: str, root: Path) -> None:
    data = data_of(train_size=10)
    first = load_images(data, root)
    (folder,) = caches(root)
    (folder / name).unlink()
    assert same(load_images(data, root), first)
    assert sorted(path.name for path in folder.iterdir()) == sorted(CACHED_FILES)


@pytest.mark.parametrize("text", ["[]", "null", "7", "{}", '{"sha256": []}', '{"sha256": {}}', "[[[", "\x00"])
def test_an_index_that_says_something_else_is_noticed(text: str, root: Path) -> None:
    first = load_images(data_of(), root)
    (folder,) = caches(root)
    (folder / "index.json").write_text(text)
    assert same(load_images(data_of(), root), first)


def test_the_cache_cannot_be_changed_through_the_images(root: Path, decoded: list[int]) -> None:
    first = load_images(data_of(), root)
    before = first.train.copy()
    first.train[:] = 0  # torch asks for writable memory
    decoded.clear()
    assert np.array_equal(load_images(data_of(), root).train, before)
    assert not decoded


def test_a_changed_source_is_decoded_anew(root: Path) -> None:
    first = load_images(data_of(), root)
    Image.fromarray(noise(30, 30, 3, seed=99)).save(train_file(root))
    second = load_images(data_of(), root)
    assert first.sha256 != second.sha256
    assert not np.array_equal(first.train[0], second.train[0])
    assert np.array_equal(first.train[1:], second.train[1:])


def test_an_added_image_is_read(root: Path) -> None:
    load_images(data_of(), root)
    shutil.copy(train_file(root), train_file(root).with_name("9.png"))
    assert load_images(data_of(), root).train_classes.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_an_image_replaced_by_one_of_the_same_size_is_decoded_anew(root: Path) -> None:
    """Formats without compression have one file size: a mended image must not leave the old one in the results."""
    for file in (root / "mine").rglob("*.png"):
        Image.open(file).save(file.with_suffix(".bmp"))
        file.unlink()
    first = load_images(data_of(), root)
    file = train_file(root, "bmp")
    before = file.stat()
    Image.fromarray(noise(12, 12, 3, seed=99)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert file.stat().st_size == before.st_size
    assert not np.array_equal(load_images(data_of(), root).train[0], first.train[0])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(28, "No space left on device")], ids=repr)
@pytest.mark.parametrize("step", ["decode", "np.save", "os.replace"])
def test_no_half_cache_is_left(step: str, error: BaseException, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off at any step, the next load starts from nothing and gives the same images."""
    owner: Any = {"decode": datasets, "np.save": np, "os.replace": os}[step]
    function = step.split(".")[-1]
    works, calls = getattr(owner, function), 0

    def breaks(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == (1 if function == "replace" else 2):
            raise error
        return works(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, function, breaks)
        with pytest.raises(DataError if isinstance(error, OSError) else type(error)):
            load_images(data_of(), root)
        assert caches(root) == []
    assert np.array_equal(load_images(data_of(size=12), root).train[0], noise(12, 12, 3).transpose(2, 0, 1))


def test_what_a_killed_process_left_is_swept_away(root: Path) -> None:
    load_images(data_of(), root)
    [folder] = caches(root)
    folder.with_name(f".{folder.name}.half.tmp").mkdir()
    (folder / "index.json").unlink()
    load_images(data_of(), root)
    assert caches(root) == [folder]


def test_those_who_load_at_once_decode_once(root: Path, decoded: list[int]) -> None:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_images(data_of(), root), range(4)))
    assert decoded == [6, 3]
    assert all(same(loaded[0], other) for other in loaded[1:])


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
