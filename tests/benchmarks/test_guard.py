"""Images and results on the disk are blocked for methods, and only while these run."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest

from benchmarks.running.guard import blocked, folders_to_block
from benchmarks.system.settings import Settings
from methods.contract.memory import LeakError
from tests.conftest import ROOT


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, ...]:
    for name in ("results/.base/a.features", "results/records/r.json", "results/notes.md", "data/cifar/train", "data/.cache/x/test.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return folders_to_block(Settings(tmp_path / "data", tmp_path / "results"))


@pytest.mark.parametrize("name", ["results/.base/a.features", "results/records/r.json", "data/cifar/train", "data/.cache/x/test.npy"])
def test_what_is_blocked(name: str, tmp_path: Path, places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(path.parent)
    ways = (path, tmp_path / "link", path.name, f"../{path.parent.name}/{path.name}", os.fsencode(path))
    with blocked(places):
        for way in ways:
            with pytest.raises(LeakError, match=r"images come from context\.images"), open(way, "rb"):  # noqa: PTH123
                pass
        with pytest.raises(LeakError):
            os.open(path, os.O_RDONLY)
        with pytest.raises(LeakError), open(tmp_path / "results" / "records" / "new.json", "w"):  # noqa: PTH123
            pass
    for way in ways:
        with open(way, "rb") as file:  # noqa: PTH123
            assert file.read() == b"x"


def test_what_is_not(tmp_path: Path, places: tuple[str, ...]) -> None:
    (tmp_path / "data2").mkdir()
    with blocked(places):
        (tmp_path / "results" / "notes.md").read_bytes()
        (tmp_path / "data2" / "own").write_bytes(b"a neighbour of the same beginning")
        Path(__file__).read_bytes()
        with open(os.dup(0), "rb"):  # noqa: PTH123  a number is no path
            pass


def test_opened_again_after_an_error(tmp_path: Path, places: tuple[str, ...]) -> None:
    with pytest.raises(KeyError), blocked(places):
        raise KeyError
    (tmp_path / "data" / "cifar" / "train").read_bytes()
    gc.get_objects()


def test_one_inside_the_other(tmp_path: Path, places: tuple[str, ...]) -> None:
    with blocked(places):
        with blocked(places):
            pass
        with pytest.raises(LeakError):
            (tmp_path / "data" / "cifar" / "train").read_bytes()


def test_the_objects_of_the_process(places: tuple[str, ...]) -> None:
    with blocked(places), pytest.raises(LeakError, match="all objects of the process"):
        gc.get_objects()


@pytest.mark.parametrize("root", [Path("/"), Path(tempfile.gettempdir()), ROOT, ROOT.parent])
def test_a_data_root_that_holds_more_than_data(root: Path, tmp_path: Path) -> None:
    """The suite, its environment or temporary files lie in it: code is imported from there while methods run."""
    images = folders_to_block(Settings(root, tmp_path))[0]
    assert images == f"{root.resolve()}/.cache/".replace("//", "/")
    with blocked((images,)):
        Path(__file__).read_bytes()
