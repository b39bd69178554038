"""MNIST as it is distributed, whole, cut off and incomplete."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from benchmarks.data.images import load_images
from benchmarks.system.errors import DataError
from tests.benchmarks.data.conftest import Shared, data_of, read, refused

MNIST_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@pytest.fixture(scope="module")
def mnist_root(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the real idx files, unpacked."""
    root = tmp_path_factory.mktemp("mnist")
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / name).write_bytes(gzip.decompress((shared("mnist") / f"{name}.gz").read_bytes()))
    return root


@pytest.fixture
def mnist_copy(mnist_root: Path, tmp_path: Path) -> Path:
    """MNIST/raw of a data root of this test's own, whose files are links to the real ones."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / name).hardlink_to(mnist_root / "MNIST" / "raw" / name)
    return folder


def test_real_mnist(mnist_root: Path) -> None:
    raw = read(data_of("mnist"), mnist_root)
    assert raw.class_names == tuple("0123456789")
    assert isinstance(raw.train.images, np.ndarray)
    assert (raw.train.images.shape, len(raw.test.images)) == ((60000, 28, 28), 10000)
    idx = (mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes()
    assert raw.train.images.tobytes() == idx[16:]
    labels = (mnist_root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes()
    assert raw.test.classes.tolist() == list(labels[8:])
    assert raw.keys == [str(row) for row in range(60000)]


def test_first_digits_of_mnist(mnist_root: Path) -> None:
    loaded = load_images(data_of("mnist", classes=2, size=28), mnist_root)
    assert loaded.class_names == ("0", "1")
    assert loaded.train.shape == (5923 + 6742, 1, 28, 28)  # zeros and ones of the training labels, as its authors count them
    assert set(loaded.test_classes.tolist()) == {0, 1}
    raw = read(data_of("mnist"), mnist_root)
    assert isinstance(raw.train.images, np.ndarray)
    assert np.array_equal(loaded.train[:, 0], raw.train.images[raw.train.classes < 2])
    assert loaded.keys is not None
    assert [int(key) for key in loaded.keys] == np.flatnonzero(raw.train.classes < 2).tolist()


@pytest.mark.parametrize("name", MNIST_FILES)
def test_mnist_with_a_file_missing(name: str, mnist_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    (mnist_copy / name).unlink()
    with refused("mnist", mnist_copy):
        read(data_of("mnist"), mnist_copy.parents[1])


@pytest.mark.parametrize("name", MNIST_FILES)
@pytest.mark.parametrize("kept", [0, 5000])
def test_truncated_mnist_file(name: str, kept: int, mnist_copy: Path) -> None:
    content = (mnist_copy / name).read_bytes()
    (mnist_copy / name).unlink()
    (mnist_copy / name).write_bytes(content[:kept])
    with refused("mnist", mnist_copy):
        read(data_of("mnist"), mnist_copy.parents[1])


def test_mnist_as_it_is_distributed(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files come as .gz: put there so, they are either read or one is told to unpack them."""

    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / f"{name}.gz").symlink_to(shared("mnist") / f"{name}.gz")
    try:
        assert len(read(data_of("mnist"), tmp_path).train.classes) == 60000
    except DataError as error:
        assert str(folder) in str(error)
