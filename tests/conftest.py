"""Fixtures that several tests share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import methods
from benchmarks.cli.main import main
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.system.settings import Settings
from methods.contract import files, registry
from methods.parts.own_files import forget_own_files
from protocols import load_protocol
from protocols.own_folder import own_folder, take_own_folder
from protocols.schema import Protocol
from tests.command import ROOT, TINY, Answer, Here

if TYPE_CHECKING:
    from benchmarks.running.runner import Runner

SHARED = ROOT.parent / "shared" / "data"
SLOW = (
    "test_cli.py",
    "test_storage.py",
    "test_bad_input.py",
    "test_launchers.py",
    "test_kill.py",
    "test_contract.py",
    "test_bytes.py",
    "test_real_cifar.py",
    "test_docs.py",
    "test_committed_results.py",
    "test_nothing_lost.py",
    "test_own_method_changes.py",
    "test_real_cub.py",
    "test_plan.py",
    "test_compiling.py",
)
"""Files that take a minute or more."""

# The same examples in every run, and no time limit for one: the processors are shared.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=12, help="how often tests/trust/test_kill.py kills the command (default: 12)")
    parser.addoption("--all-presets", action="store_true", help="contracts are tried on all presets of a method (default: on its first)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, so that with two processes neither is left alone with one at the end."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `each_method` is run once a file of methods/ that can run on images: `method:preset`."""
    if "each_method" in metafunc.fixturenames:
        entries = [registry.read_entry(name) for name in registry.method_names()]
        presets = {entry.name: entry.presets for entry in entries if entry.needs != "texts"}
        most = None if metafunc.config.getoption("all_presets") else 1
        metafunc.parametrize("each_method", [f"{name}:{preset}" for name, several in presets.items() for preset in several[:most]])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in every worker of a sweep: bytes are compared, and tests run side by side."""
    from benchmarks.system.device import make_deterministic

    make_deterministic(1)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root for the digits, which need no download; its decoded cache serves the whole test session."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def tiny() -> Protocol:
    return load_protocol(str(TINY))


@pytest.fixture
def settings(data_root: Path, tmp_path: Path) -> Settings:
    """Results of this test's own, on the CPU with one thread."""
    return Settings(data_root, tmp_path / "results", "cpu", 1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by a file's tests, so that each base is trained once."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def runner(tiny: Protocol, data_root: Path, results: Path) -> Runner:
    """Runs of the tiny protocol, on the CPU with one thread."""
    from benchmarks.running.runner import Runner

    return Runner(tiny, Settings(data_root, results, "cpu", 1))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A file of the real data kept beside the project; a test that needs one is skipped where there is none, but not in CI."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            if os.environ.get("CI"):
                pytest.fail(f"CI must have {path}")
            pytest.skip(f"needs {path}: real images that cannot be redistributed with the project")
        return path

    return find


@pytest.fixture(scope="session")
def write_images() -> Callable[[Path, dict[str, NDArray[np.uint8]]], None]:
    """Write {path under a folder: pixels [H, W] or [H, W, C]} as image files, in the format of their suffix."""

    def write(folder: Path, images: dict[str, NDArray[np.uint8]]) -> None:
        for name, pixels in images.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name)

    return write


@pytest.fixture
def with_run(runner: Runner, results: Path, settings: Settings) -> Callable[[Identity], Store]:
    """with_run(identity): this test's own results, holding the whole record of that run and its predictions."""

    def with_run(identity: Identity) -> Store:
        saved = Store(results)
        if saved.find(identity) is None:
            saved.save(*runner.run(identity))
        shutil.copytree(results / "records", settings.results / "records")
        return Store(settings.results)

    return with_run


@pytest.fixture
def methods_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """methods_in(folder): that folder takes the place of methods/; what is imported from it is forgotten after the test."""
    used: list[str] = []

    def use(folder: Path) -> None:
        used.append(str(folder))
        monkeypatch.setattr(files, "FOLDER", folder)
        monkeypatch.setattr(methods, "__path__", [str(folder), *methods.__path__])

    yield use
    for name, module in list(sys.modules.items()):
        if name.startswith("methods.") and str(getattr(module, "__file__", "")).startswith(tuple(used)):
            del sys.modules[name]


@pytest.fixture
def own_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """./methods of a user who works in another folder than the suite's, as with an installed `fscil-bench`."""
    (tmp_path / "methods" / "bases").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "methods"
    forget_own_files()
    monkeypatch.undo()
    take_own_folder(None)
    assert own_folder() is None


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """here(*arguments): the command line in this process; its workers, where it has several runs to do, have processes of their own."""
    monkeypatch.delenv("FSCIL_DATA", raising=False)

    def here(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as stop:  # argparse's way out
            status = int(stop.code or 0)
        return Answer(status, *capsys.readouterr())

    return here
