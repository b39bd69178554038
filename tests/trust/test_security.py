"""Nothing that a file holds is run: YAML, weights, caches, records, data sets."""

from __future__ import annotations

import ast
import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import read_tensors
from benchmarks.data.images import load_images
from benchmarks.data.sources import locate, mnist
from benchmarks.data.weights import SHA256, find_weights
from benchmarks.records.predictions import recount
from benchmarks.system.errors import DataError
from methods.parts.backbones import build_backbone
from protocols import ProtocolError, load_protocol
from protocols.reading import parse_yaml
from protocols.schema import Backbone
from tests.benchmarks.data.conftest import data_of
from tests.conftest import ROOT
from tests.trust.damage import reindexed
from tests.trust.unsafe import unsafe_calls

MODULES = [path for folder in ("benchmarks", "methods", "protocols") for path in sorted((ROOT / folder).rglob("*.py"))]


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture
def bomb(marker: Path) -> bytes:
    """Works where somebody unpickles it."""
    content = pickle.dumps(Bomb(marker))
    pickle.loads(content)
    assert marker.exists()
    marker.unlink()
    return content


# The code ---------------------------------------------------------------------------------------------------------------


def test_no_code_reads_in_an_unsafe_way() -> None:
    calls = {path.relative_to(ROOT).as_posix(): unsafe_calls(path.read_text(encoding="utf-8")) for path in [ROOT / "run_all.py", *MODULES]}
    assert {name: found for name, found in calls.items() if found} == {}


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(text)",
        "from pickle import loads",
        "reader = pickle.Unpickler",
        "from marshal import loads",
        "import shelve as s",
        "import dill",
        "yaml.load(text)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "yaml.unsafe_load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "eval(text)",
        "exec(text)",
        "archive.extractall(folder)",
        "archive.extractall(folder, filter='fully_trusted')",
        "extract_archive(path)",
        "download_and_extract_archive(url, folder)",
        "CIFAR100(root, download=True)",
    ],
)
def test_the_scan_sees(line: str) -> None:
    assert unsafe_calls(f"def f():\n    {line}") != []


def test_the_scan_parses_what_it_reads() -> None:
    assert len(MODULES) > 60
    assert all(ast.parse(path.read_text(encoding="utf-8")) for path in MODULES)


def test_the_yaml_reader_derives_from_the_safe_one() -> None:
    """What the scan takes on trust, by name."""
    with pytest.raises(ValueError, match="not valid YAML"):
        parse_yaml("!!python/name:os.system")


# Files with code in them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:pathlib.Path.touch [{}]", "!!python/object/new:os.mkdir [{}]", "!!python/object/apply:os.system ['touch {}']"],
)
@pytest.mark.parametrize("where", ["title: {}", "recipes: {{paper: {}}}", "? {}\n: 1"])
def test_yaml_tags(tag: str, where: str, marker: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(where.format(tag.format(marker)))
    with pytest.raises(ProtocolError, match="not valid YAML"):
        load_protocol(str(file))
    assert not marker.exists()


def torch_file(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("right_hash", [False, True])
def test_weights(right_hash: bool, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused for its hash; and were the hash right, torch would refuse the code."""
    [name] = SHA256
    path = tmp_path / "weights" / name
    path.parent.mkdir()
    path.write_bytes(torch_file({"conv1.weight": Bomb(marker)}))
    backbone = Backbone(name="resnet18", pretrained="imagenet")
    if right_hash:
        monkeypatch.setitem(SHA256, name, hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(ValueError, match=f"^{name} is no file of tensors alone; nothing else in it is ever run: save its state_dict$"):
            build_backbone("resnet18", 3, find_weights(backbone, tmp_path))
    else:
        with pytest.raises(DataError, match="SHA-256"):
            find_weights(backbone, tmp_path)
    assert not marker.exists()


def test_the_first_digits_of_the_weights_hash_are_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight digits, as torch hub checks, are found by trying for an hour."""
    [name] = SHA256
    path = tmp_path / "weights" / name
    path.parent.mkdir()
    path.write_bytes(b"another file")
    monkeypatch.setattr("benchmarks.data.weights.sha256_file", lambda path: SHA256[name][:8] + 56 * "0")
    with pytest.raises(DataError, match="SHA-256"):
        find_weights(Backbone(name="resnet18", pretrained="imagenet"), tmp_path)


@pytest.mark.parametrize("kind", ["pickle", "torch", "npy"])
def test_base_models_checkpoints_and_features(kind: str, marker: Path, bomb: bytes, tmp_path: Path) -> None:
    """All three are read by read_tensors. The hash before the body is no secret, so it is right here."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(marker)]), allow_pickle=True)
    body = {"pickle": bomb, "torch": torch_file(Bomb(marker)), "npy": buffer.getvalue()}[kind]
    path = tmp_path / "a.safetensors"
    path.write_bytes(hashlib.sha256(body).digest() + body)
    assert read_tensors(path, BaseKey({})) is None
    assert not marker.exists()


def test_image_cache(marker: Path, tmp_path: Path) -> None:
    """An array of objects, under an index whose hashes are right: decoded again."""
    first = load_images(data_of("digits"), tmp_path)
    [folder] = [path for path in (tmp_path / ".cache").iterdir() if path.is_dir()]
    (folder / "plain.npy").unlink()
    np.save(folder / "plain.npy", np.array([Bomb(marker)]), allow_pickle=True)
    reindexed(folder, lambda index: None)
    assert np.array_equal(load_images(data_of("digits"), tmp_path).plain, first.plain)
    assert not marker.exists()


def test_predictions(marker: Path, tmp_path: Path) -> None:
    """The predicted labels of a record are an .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, session0=np.array([Bomb(marker)]))
    with pytest.raises(ValueError, match="not a whole file of predictions"):
        recount(buffer.getvalue())
    assert not marker.exists()


def test_a_forged_cifar_batch_is_not_unpickled(marker: Path, bomb: bytes, tmp_path: Path) -> None:
    """In each of its three files, beside files that nobody can forge either."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(bomb)
    with pytest.raises(DataError, match="cifar-100-python is damaged"):
        load_images(data_of("cifar100"), tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("forged", ["train", "test", "meta"])
def test_each_cifar_file_is_verified_before_it_is_unpickled(
    forged: str, marker: Path, bomb: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR100

    contents = {
        "train": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}),
        "test": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}),
        "meta": pickle.dumps({"fine_label_names": ["a", "b"]}),
    }
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    assert len(locate(data_of("cifar100"), tmp_path).read().train.classes) == 2
    (folder / forged).write_bytes(bomb)
    with pytest.raises(DataError):
        locate(data_of("cifar100"), tmp_path).read()
    assert not marker.exists()


def test_an_old_processed_mnist_is_not_read(marker: Path, tmp_path: Path) -> None:
    """torchvision would prefer it to the idx files, whatever it holds."""
    for name in ("training.pt", "test.pt"):
        file = tmp_path / "MNIST" / "processed" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(torch_file((torch.zeros(10, 28, 28, dtype=torch.uint8), torch.arange(10))))
    for part in mnist.FILES:
        file = tmp_path / "MNIST" / "raw" / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no idx file")
    with pytest.raises(DataError, match="MNIST/raw is damaged"):
        load_images(data_of("mnist", size=28), tmp_path)
