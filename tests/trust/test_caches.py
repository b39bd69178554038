"""Whatever lies where a cache should be, the runs end with the records that they would have without it, or with one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.base import cache as base_cache
from benchmarks.base.cache import Checkpoint, cached_base
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.tensors import read_tensors, write_tensors
from benchmarks.data.images import load_images
from benchmarks.records.reading import to_json
from benchmarks.running.runner import Runner
from benchmarks.system.errors import StorageError
from benchmarks.system.settings import Settings
from methods.parts.network import Network
from protocols.schema import Data, Protocol
from tests.methods.runs import identity_of
from tests.trust.damage import DAMAGES, copied_from, reindexed, replaced_by_a_folder

Record = tuple[bytes, bytes]


def record_of(protocol: Protocol, settings: Settings, variant: str = "proto") -> Record:
    record, _, predictions = Runner(protocol, settings).run(identity_of(protocol, variant))
    return to_json(record.model_dump(mode="json")), predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def place(tiny: Protocol, data_root: Path, trained: Path, tmp_path: Path) -> Settings:
    """Results with whole caches of one run, this test's own."""
    settings = Settings(data_root, trained / "results", "cpu", 1)
    if not (trained / "record").exists():
        record, predictions = record_of(tiny, settings)
        (trained / "record").write_bytes(record)
        (trained / "predictions").write_bytes(predictions)
    shutil.copytree(trained / "results", tmp_path / "results")
    return Settings(data_root, tmp_path / "results", "cpu", 1)


@pytest.fixture
def expected(place: Settings, trained: Path) -> Record:
    return (trained / "record").read_bytes(), (trained / "predictions").read_bytes()


def cache(settings: Settings, kind: str) -> Path:
    [path] = (settings.results / ".base").glob(f"*.{kind}")
    return path


# Base models and features -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["safetensors", "features"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cache_is_made_anew(damage: Callable[[Path], None], kind: str, tiny: Protocol, place: Settings, expected: Record) -> None:
    path = cache(place, kind)
    whole = path.read_bytes()
    damage(path)
    assert record_of(tiny, place) == expected
    assert path.read_bytes() == whole
    assert not path.is_symlink()


@pytest.mark.parametrize("kind", ["safetensors", "features"])
def test_a_folder_in_a_caches_place_is_named(kind: str, tiny: Protocol, place: Settings) -> None:
    path = cache(place, kind)
    replaced_by_a_folder(path)
    with pytest.raises(StorageError) as caught:
        record_of(tiny, place)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ["safetensors", "features"])
def test_a_cache_that_may_not_be_read_is_named(kind: str, tiny: Protocol, place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = cache(place, kind), Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(StorageError, match="Permission denied"):
        record_of(tiny, place)


@pytest.mark.parametrize("kind", ["safetensors", "features"])
def test_anothers_cache_under_this_name(kind: str, tiny: Protocol, place: Settings, expected: Record) -> None:
    """Seed 1's, whole and of the same shapes."""
    path = cache(place, kind)
    whole = path.read_bytes()
    Runner(tiny, place).run(identity_of(tiny, "proto").model_copy(update={"seed": 1}))
    [other] = set((place.results / ".base").glob(f"*.{kind}")) - {path}
    copied_from(other)(path)
    assert record_of(tiny, place) == expected
    assert path.read_bytes() == whole


def key_in(path: Path) -> BaseKey:
    body = path.read_bytes()[32:]
    return BaseKey(json.loads(json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])["__metadata__"]["key"]))


def version(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    """What the next version of the suite would write."""
    return BaseKey({**key.fields, "suite": key.fields["suite"] + 1}), state


def some_value(number: float) -> Callable[..., Any]:
    def change(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
        name = next(name for name, value in sorted(state.items()) if value.is_floating_point())
        state[name].view(-1)[0] = number
        return key, state

    return change


def fewer(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    return key, dict(sorted(state.items())[:-1])


def without_momentum(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    return key, {name: value for name, value in state.items() if name != "momentum.head.weight"}


def momentum_of_another_shape(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    return key, {**state, "momentum.head.weight": state["momentum.head.weight"][:1].clone()}


def more(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    return key, {**state, "stranger": torch.zeros(3)}


def shorter(key: BaseKey, state: dict[str, torch.Tensor]) -> tuple[BaseKey, dict[str, torch.Tensor]]:
    name = max(sorted(state), key=lambda name: state[name].dim())
    return key, {**state, name: state[name][1:].clone()}


@pytest.mark.parametrize("kind", ["safetensors", "features"])
@pytest.mark.parametrize("change", [version, some_value(float("nan")), some_value(float("-inf")), fewer, more, shorter])
def test_a_cache_that_our_own_writer_wrote_wrongly(
    change: Callable[..., tuple[BaseKey, dict[str, torch.Tensor]]], kind: str, tiny: Protocol, place: Settings, expected: Record
) -> None:
    """Its hash is right, and the name in it may be."""
    path = cache(place, kind)
    whole, key = path.read_bytes(), key_in(path)
    state = read_tensors(path, key)
    assert state is not None
    write_tensors(path, *change(key, state))
    assert path.read_bytes() != whole
    assert record_of(tiny, place) == expected
    assert path.read_bytes() == whole


def test_locks_and_halves_that_the_killed_left(tiny: Protocol, place: Settings, expected: Record) -> None:
    for path in [cache(place, "safetensors"), cache(place, "features")]:
        path.with_name(f".{path.name}.tmp").write_bytes(b"half")
        path.with_suffix(".lock").write_text("99999999")
        path.unlink()
    assert record_of(tiny, place) == expected


def test_a_lock_file_that_is_a_folder_is_named(tiny: Protocol, place: Settings) -> None:
    lock = cache(place, "safetensors").with_suffix(".lock")
    replaced_by_a_folder(lock)
    with pytest.raises(StorageError, match=r"\.lock: cannot be "):
        record_of(tiny, place)


def test_a_base_that_diverged_in_its_last_step_is_not_stored(tiny: Protocol, tmp_path: Path) -> None:
    def train(network: Network, checkpoint: Checkpoint) -> None:
        network.head.weight.data[0, 0] = torch.nan

    with pytest.raises(FloatingPointError, match="lower the recipe's lr"):
        cached_base(tmp_path, BaseKey({}), lambda: build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0), train)
    assert not list(tmp_path.glob("*.safetensors"))


# Checkpoints ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tiny: Protocol, place: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a base training that was stopped after its first epoch of two."""
    for path in (place.results / ".base").iterdir():
        path.unlink()
    monkeypatch.setattr(base_cache, "CHECKPOINT_SECONDS", 0.0)

    def stop(text: str) -> None:
        if "epoch 2/2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runner(tiny, place).run(identity_of(tiny, "proto"), stop)
    return cache(place, "checkpoint")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_not_gone_on_from(
    damage: Callable[[Path], None], tiny: Protocol, place: Settings, expected: Record, stopped: Path
) -> None:
    damage(stopped)
    assert record_of(tiny, place) == expected
    assert not os.path.lexists(stopped)


@pytest.mark.parametrize("change", [version, some_value(float("nan")), fewer, shorter, without_momentum, momentum_of_another_shape])
def test_a_checkpoint_that_our_own_writer_wrote_wrongly(
    change: Callable[..., tuple[BaseKey, dict[str, torch.Tensor]]], tiny: Protocol, place: Settings, expected: Record, stopped: Path
) -> None:
    key = key_in(stopped)
    state = read_tensors(stopped, key)
    assert state is not None
    write_tensors(stopped, *change(key, state))
    assert record_of(tiny, place) == expected


# Decoded images ---------------------------------------------------------------------------------------------------------

FILES = ["index.json", "plain.npy", "test.npy", "train_classes.npy", "test_classes.npy"]
DIGITS = Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,))


@pytest.fixture
def images(data_root: Path, tmp_path: Path) -> Path:
    """The folder of the decoded digits, this test's own."""
    load_images(DIGITS, data_root)
    shutil.copytree(data_root / ".cache", tmp_path / ".cache")
    [folder] = [path for path in (tmp_path / ".cache").iterdir() if path.is_dir() and path.name.startswith("digits-8-")]
    return folder


def assert_as_before(images: Path, data_root: Path) -> None:
    """The images are those of the undamaged cache, and the damage is mended."""
    found, whole = load_images(DIGITS, images.parents[1]), load_images(DIGITS, data_root)
    assert found.sha256 == whole.sha256
    assert np.array_equal(found.plain, whole.plain)
    assert not images.is_symlink()
    assert sorted(path.name for path in images.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_images_are_decoded_anew(damage: Callable[[Path], None], name: str, images: Path, data_root: Path) -> None:
    damage(images / name)
    assert_as_before(images, data_root)


def test_a_file_where_images_should_be(images: Path, data_root: Path) -> None:
    shutil.rmtree(images)
    images.write_text("")
    assert_as_before(images, data_root)


@pytest.mark.parametrize("target", ["nowhere", "elsewhere"])
def test_a_link_where_images_should_be(target: str, images: Path, data_root: Path, tmp_path: Path) -> None:
    shutil.rmtree(images)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    images.symlink_to(tmp_path / target)
    assert_as_before(images, data_root)
    assert (tmp_path / "elsewhere" / "mine").read_text() == "mine"


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        changed = change(np.load(folder / f"{name}.npy"))
        (folder / f"{name}.npy").unlink()
        np.save(folder / f"{name}.npy", changed)
        reindexed(folder, lambda index: None)

    return damage


def index(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda folder: reindexed(folder, change)


FORGED: dict[str, Callable[[Path], None]] = {
    "fewer classes than images": array("train_classes", lambda a: a[:-1]),
    "a class too high": array("test_classes", lambda a: a + 9),
    "a negative class": array("train_classes", lambda a: a - 1),
    "classes of another type": array("train_classes", lambda a: a.astype(np.float64)),
    "classes in a table": array("train_classes", lambda a: a[:, None]),
    "no classes": array("test_classes", lambda a: a[:0]),
    "images of another type": array("plain", lambda a: a.astype(np.float32)),
    "images of another size": array("plain", lambda a: a[..., :-1]),
    "images of more channels": array("test", lambda a: np.repeat(a, 3, axis=1)),
    "no names": index(lambda i: i.update(class_names=[])),
    "names that are none": index(lambda i: i.update(class_names=list(range(10)))),
    "names that are a number": index(lambda i: i.update(class_names=7)),
    "too few keys": index(lambda i: i.update(keys=["a"])),
    "a missing file": index(lambda i: i["sha256"].pop("test")),
    "hashes in a list": index(lambda i: i.update(sha256=["plain", "test", "train_classes", "test_classes"])),
    "no hashes": index(lambda i: i.update(sha256=None)),
}


@pytest.mark.parametrize("damage", FORGED.values(), ids=FORGED.keys())
def test_forged_images_whose_hashes_are_right(damage: Callable[[Path], None], images: Path, data_root: Path) -> None:
    damage(images)
    assert_as_before(images, data_root)


def test_an_index_cannot_name_files_elsewhere(images: Path, data_root: Path) -> None:
    np.save(images.parent / "outside.npy", np.zeros(3))
    reindexed(images, lambda index: index["sha256"].update({"../outside": ""}))
    assert_as_before(images, data_root)
