"""Images and results on the disk are blocked for methods, and only while these run."""

from __future__ import annotations

import gc
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
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


def test_base_models_are_blocked_where_they_lie(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "data", tmp_path / "results", own_bases=tmp_path / "elsewhere")
    assert settings.bases == tmp_path / "elsewhere"
    assert f"{tmp_path / 'elsewhere'}{os.sep}" in folders_to_block(settings)


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
        for raw in (
            lambda: os.open(path, os.O_RDONLY),
            lambda: io.FileIO(path),
            lambda: io.FileIO(os.fsencode(path)),
            lambda: io.open_code(str(path)),  # noqa: SIM115
        ):
            with pytest.raises(LeakError):
                raw()
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
        for number in (os.dup(0), np.int64(os.dup(0))):
            io.FileIO(number).close()  # type: ignore[arg-type]  # a number is no path


def of_a_method(code: str) -> Callable[..., Any]:
    """The function `f` of this code, as a file of methods/ would have it."""
    scope: dict[str, Any] = {"__name__": "methods.mine"}
    exec(code, scope)
    return cast(Callable[..., Any], scope["f"])


@pytest.mark.parametrize("mode", ["w", "a", "x", "r+"])
def test_a_method_writes_no_file(mode: str, tmp_path: Path, places: tuple[str, ...]) -> None:
    path = tmp_path / "cache"
    write = of_a_method("def f(path, mode):\n    open(path, mode).close()")
    if mode == "r+":
        path.touch()
    with blocked(places):
        with pytest.raises(LeakError, match=r"opened .*cache for writing; what it keeps must be in self or in its memory"):
            write(path, mode)
        open(path, mode).close()  # noqa: PTH123  who is no method may
        write(os.devnull, "w")
    write(path, "a")


def test_a_method_reads_no_file_that_is_newer_than_the_process(tmp_path: Path, places: tuple[str, ...]) -> None:
    (tmp_path / "new").write_bytes(b"x")
    (tmp_path / "old").write_bytes(b"x")
    os.utime(tmp_path / "old", (0, 0))
    read = of_a_method("def f(path):\n    return open(path, 'rb').read()")
    with blocked(places):
        assert read(tmp_path / "old") == b"x"
        assert read(Path("/dev/null")) == b""
        with pytest.raises(LeakError, match=r"opened .*new that was written while the command ran"):
            read(tmp_path / "new")


def test_what_a_method_imports_or_compiles_may_write(tmp_path: Path, places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Python writes its byte code, and torch's compiler its kernels."""
    (tmp_path / "a_new_module.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with blocked(places):
        assert of_a_method("def f():\n    import a_new_module\n    return a_new_module.X")() == 1
        of_a_method("def f(write):\n    write()")(compiler(tmp_path / "kernel"))
    assert list(tmp_path.rglob("a_new_module.*.pyc"))
    assert (tmp_path / "kernel").exists()


def test_compiled_kernels_lie_under_the_data_root(tmp_path: Path, places: tuple[str, ...]) -> None:
    """A compiler at work for a method reaches them; the method itself does not."""
    kept = tmp_path / "data" / ".compiled" / "0123"
    kept.mkdir(parents=True)
    with blocked(places):
        of_a_method("def f(write):\n    write()")(compiler(kept / "kernel"))
        with pytest.raises(LeakError, match="images come from"):
            of_a_method("def f(path):\n    return open(path, 'rb').read()")(str(kept / "kernel"))
    assert (kept / "kernel").read_text() == "x"


def compiler(path: Path) -> Callable[[], None]:
    scope: dict[str, Any] = {"__name__": "torch._inductor.codecache", "path": path}
    exec("def f():\n    path.write_text('x')", scope)
    return cast(Callable[[], None], scope["f"])


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
