"""miniImageNet in both of its layouts, and what is said of lists that are wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.images import load_images
from benchmarks.data.sources import locate
from tests.benchmarks.data.conftest import WriteImages, data_of, grey, read, refused

WNIDS = ("n01532829", "n01558993", "n13133613")


def write_lists(folder: Path, files: dict[str, list[tuple[str, str]]]) -> None:
    for part, rows in files.items():
        (folder / "split").mkdir(parents=True, exist_ok=True)
        (folder / "split" / f"{part}.csv").write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))


@pytest.fixture
def mini(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with three classes of miniImageNet as the CEC family packs it: one folder of images, two lists."""
    files = {part: [(f"{wnid}0000{at + i}.jpg", wnid) for wnid in WNIDS for i in range(2)] for part, at in (("train", 1), ("test", 5))}
    write_lists(tmp_path / "miniimagenet", files)
    names = [name for rows in files.values() for name, _ in rows]
    write_images(tmp_path / "miniimagenet", {f"images/{name}": grey(20 * index) for index, name in enumerate(names)})
    return tmp_path


def test_miniimagenet_is_the_same_in_both_layouts(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("tree")
    for part in ("train", "test"):
        for line in (mini / "miniimagenet" / "split" / f"{part}.csv").read_text().splitlines()[1:]:
            name, label = line.split(",")
            folder = other / "miniimagenet" / part / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(mini / "miniimagenet" / "images" / name, folder)
    one, two = (load_images(data_of("miniimagenet"), root) for root in (mini, other))
    assert one.class_names == two.class_names == WNIDS
    assert one.keys == two.keys == [f"{wnid}/{wnid}0000{i}.jpg" for wnid in WNIDS for i in (1, 2)]
    for name in ("train", "plain", "test", "train_classes", "test_classes"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert len({image.tobytes() for image in [*one.train, *one.test]}) == 12


def test_miniimagenet_keeps_the_order_of_its_list(mini: Path) -> None:
    rows = [(f"{wnid}0000{i}.jpg", wnid) for i in (2, 1) for wnid in reversed(WNIDS)]
    write_lists(mini / "miniimagenet", {"train": rows})
    raw = read(data_of("miniimagenet"), mini)
    assert raw.keys == [f"{wnid}/{name}" for name, wnid in rows]
    assert raw.train.classes.tolist() == [2, 1, 0, 2, 1, 0]  # numbers follow the sorted wnids all the same


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "sub/x.jpg", "..", ""])
def test_miniimagenet_list_cannot_leave_its_folder(name: str, mini: Path) -> None:
    (mini / "secret.jpg").write_bytes(b"")
    write_lists(mini / "miniimagenet", {"test": [(name, wnid) for wnid in WNIDS]})
    with refused(mini / "miniimagenet"):
        locate(data_of("miniimagenet"), mini)


def test_missing_miniimagenet_image_is_named(mini: Path) -> None:
    file = mini / "miniimagenet" / "images" / "n0155899300005.jpg"
    file.unlink()
    with refused("miniimagenet", file):
        locate(data_of("miniimagenet"), mini)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,class\nn0153282900005.jpg,n01532829\n", "filename,label"),
        ("", "filename,label"),
        ("filename,label\nn0153282900005.jpg,n01532829\n", "'n01558993' is in train and not in test"),
        ("filename,label\nn0153282900005.jpg\n", "test.csv"),
        ("filename,label\n", "test.csv"),
    ],
    ids=["other columns", "empty", "class missing", "column missing", "no rows"],
)
def test_bad_miniimagenet_list(text: str, named: str, mini: Path) -> None:
    (mini / "miniimagenet" / "split" / "test.csv").write_text(text)
    with refused(mini / "miniimagenet" / "split" / "test.csv", named):
        locate(data_of("miniimagenet"), mini)
