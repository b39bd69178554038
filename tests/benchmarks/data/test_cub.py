"""CUB-200-2011: its lists, its archive, and its real images."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.images import load_images
from benchmarks.data.sources import cub200, locate
from tests.benchmarks.data.conftest import Shared, WriteImages, data_of, grey, read, refused


@pytest.fixture
def cub(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with three classes of four images in CUB's own layout; its lists are not sorted by name."""
    names = ["001.Albatross", "002.Auklet", "003.Wren"]
    files = [f"{name}/{name[4:]}_{i:04}_{91 - i}.jpg" for name in names for i in (3, 1, 4, 2)]
    folder = tmp_path / "CUB_200_2011"
    write_images(folder / "images", {file: grey(10 * index) for index, file in enumerate(files)})
    lists = {
        "classes.txt": [f"{number} {name}" for number, name in enumerate(names, 1)],
        "images.txt": [f"{number} {file}" for number, file in enumerate(files, 1)],
        "image_class_labels.txt": [f"{number} {int(file[:3])}" for number, file in enumerate(files, 1)],
        "train_test_split.txt": [f"{number} {int(number % 4 != 2)}" for number in range(1, 13)],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_cub(cub: Path) -> None:
    """The official split, in the order of images.txt, class 001 as number 0."""
    raw = read(data_of("cub200"), cub)
    assert raw.class_names == ("001.Albatross", "002.Auklet", "003.Wren")
    assert raw.train.classes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert raw.test.classes.tolist() == [0, 1, 2]
    assert raw.keys is not None
    assert raw.keys[:3] == [
        "001.Albatross/Albatross_0003_88.jpg",
        "001.Albatross/Albatross_0004_87.jpg",
        "001.Albatross/Albatross_0002_89.jpg",
    ]
    assert list(raw.train.images) == [cub / "CUB_200_2011" / "images" / key for key in raw.keys]
    assert str(raw.test.images[2]).endswith("003.Wren/Wren_0001_90.jpg")


def test_first_classes_of_cub_need_no_other_images(cub: Path) -> None:
    shutil.rmtree(cub / "CUB_200_2011" / "images" / "003.Wren")
    raw = read(data_of("cub200", classes=2), cub)
    assert raw.class_names == ("001.Albatross", "002.Auklet")
    assert raw.train.classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert raw.keys is not None
    assert len(raw.keys) == 6
    with refused("cub200", cub / "CUB_200_2011" / "images" / "003.Wren"):
        locate(data_of("cub200"), cub)


def test_missing_cub_image_is_named(cub: Path) -> None:
    file = cub / "CUB_200_2011" / "images" / "002.Auklet" / "Auklet_0004_87.jpg"
    file.unlink()
    with refused("cub200", file, "CUB_200_2011.tgz"):
        locate(data_of("cub200"), cub)


@pytest.mark.parametrize("name", ["classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt"])
def test_missing_cub_list_is_named(name: str, cub: Path) -> None:
    (cub / "CUB_200_2011" / name).unlink()
    with refused("cub200", cub / "CUB_200_2011" / name, "CUB_200_2011.tgz"):
        locate(data_of("cub200"), cub)


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "train_test_split.txt"])
@pytest.mark.parametrize(
    "damage",
    [lambda text: text[: len(text) // 2], lambda text: text + "13\n", lambda text: text.replace("\n", " \x00\n"), lambda text: ""],
    ids=["cut", "column missing", "stray bytes", "empty"],
)
def test_damaged_cub_list(name: str, damage: Callable[[str], str], cub: Path) -> None:
    path = cub / "CUB_200_2011" / name
    path.write_text(damage(path.read_text()))
    with refused("cub200", cub / "CUB_200_2011"):
        read(data_of("cub200"), cub)


def test_more_classes_than_cub_lists(cub: Path) -> None:
    with refused("cub200", "3 of the 4 classes"):
        locate(data_of("cub200", classes=4), cub)


def test_real_cub(shared: Shared, tmp_path: Path) -> None:
    """The lists of all 200 classes with the photographs of the first 50."""
    for name in ("cub200_first50.tar", "cub200_metadata.tar"):  # the first has lists of its own, of 50 classes
        with tarfile.open(shared(name)) as archive:
            archive.extractall(tmp_path / "CUB_200_2011", filter="data")
    raw = read(data_of("cub200", classes=50), tmp_path)
    assert (len(raw.train.classes), len(raw.test.classes), len(raw.class_names)) == (1500, 1389, 50)
    assert np.bincount(raw.train.classes).tolist() == [30] * 50
    assert raw.keys is not None
    assert raw.keys[0] == "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg"
    with refused("cub200", tmp_path / "CUB_200_2011" / "images" / "051.Horned_Grebe"):
        locate(data_of("cub200"), tmp_path)
    loaded = load_images(data_of("cub200", classes=2, channels=3, mean=[0.5] * 3, std=[0.5] * 3, train_size=10), tmp_path)
    assert (loaded.train.shape, loaded.plain.shape) == ((60, 3, 10, 10), (60, 3, 8, 8))
    assert 60 < loaded.plain.mean() < 190  # photographs: neither black nor white


@pytest.mark.parametrize("inside", ["CUB_200_2011/images.txt", "../escaped.txt"])
def test_a_cub_archive_is_unpacked_whole_or_not_at_all(inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leaves the folder is refused, and nothing of such an archive stays."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "list").write_text("1 a.jpg")
    with tarfile.open(root / cub200.ARCHIVE, "w:gz") as archive:
        archive.add(tmp_path / "list", "CUB_200_2011/classes.txt")
        archive.add(tmp_path / "list", inside)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda *arguments: None)
    monkeypatch.setattr(cub200, "MD5", hashlib.md5((root / cub200.ARCHIVE).read_bytes()).hexdigest())
    if inside.startswith(".."):
        with pytest.raises(tarfile.FilterError):
            cub200.download(root)
        assert [path.name for path in root.iterdir()] == [cub200.ARCHIVE]
        assert not (tmp_path / "escaped.txt").exists()
    else:
        cub200.download(root)
        assert (root / inside).read_text() == "1 a.jpg"
