"""The cache of decoded images: never half, never stale, never trusted unread."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import images as datasets
from benchmarks.data.images import ImageSet, load_images
from benchmarks.system.errors import DataError
from tests.benchmarks.data.mine import Pixels, caches, data_of, noise, train_file

CACHED_FILES = ["index.json", "plain.npy", "test.npy", "train.npy", "test_classes.npy", "train_classes.npy"]


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
