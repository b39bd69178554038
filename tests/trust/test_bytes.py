"""Same seed, same bytes: whatever else is run, in whatever order, by however many processes, in whatever surroundings.

All of it on one kind of processor with one number of threads, which stand in the record: README.md, "What a table says". More of
this promise is kept per method by tests/methods/test_contract.py (rerun, cached or fresh base, evaluated or not).
"""

from __future__ import annotations

import importlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import methods
from benchmarks.records.reading import read_record
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.running.contender import SeedError
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.contract import files, loading
from protocols.schema import Protocol
from tests.conftest import ROOT
from tests.methods.runs import identity_of
from tests.trust.harness import places

METHODS = "base_only,ft_cnn,icarl,proto"
GUESTS = Path(__file__).parent / "guests"


def sweep(results: Path, data_root: Path, *arguments: str, cwd: Path = ROOT, **surroundings: str) -> dict[str, bytes]:
    """Run the real command; every record and every file of predictions that it leaves, by its place."""
    line = [sys.executable, str(ROOT / "run_all.py"), *places(results, data_root), *arguments]
    subprocess.run(line, cwd=cwd, env={**os.environ, **surroundings}, check=True, capture_output=True, timeout=300)
    found = (results / "records").rglob("seed*")
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in found
        if path.suffix in (".json", ".npz") and not path.name.endswith(".cost.json")
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Path, dict[str, bytes]]:
    """Results folder and bytes of a sweep that the others are compared with."""
    results = tmp_path_factory.mktemp("first")
    return results, sweep(results, data_root, "--methods", METHODS, "--seeds", "0-1", "--workers", "1", PYTHONHASHSEED="0")


def test_other_order_more_workers_and_a_fresh_base(first: tuple[Path, dict[str, bytes]], tmp_path: Path, data_root: Path) -> None:
    reverse = ",".join(reversed(METHODS.split(",")))
    again = sweep(tmp_path, data_root, "--methods", reverse, "--seeds", "1,0", "--workers", "2", PYTHONHASHSEED="1")
    assert len(again) == 16
    assert again == first[1]


def test_a_subset_on_a_cached_base_in_other_surroundings(first: tuple[Path, dict[str, bytes]], tmp_path: Path, data_root: Path) -> None:
    """One method and one seed alone, from another folder, in another language and time zone."""
    results = tmp_path / "results"
    shutil.copytree(first[0] / ".base", results / ".base")
    surroundings = {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "2", "HOME": str(tmp_path), "PYTHONUTF8": "0"}
    alone = sweep(results, data_root, "--methods", "icarl", "--seeds", "1", cwd=tmp_path, **surroundings)
    assert len(alone) == 2
    assert alone.items() <= first[1].items()
    assert {path.name: path.read_bytes() for path in (first[0] / ".base").glob("*.safetensors")} == {
        path.name: path.read_bytes() for path in (results / ".base").glob("*.safetensors")
    }, "the base of seed 1 was taken over, none was trained"


def test_this_process_gives_them_too(first: tuple[Path, dict[str, bytes]], tiny: Protocol, settings: Settings) -> None:
    store = Store(settings.results)
    runner = Runner(tiny, settings)
    for variant, seed in (("proto:raw_mean", 1), ("icarl:topic", 0), ("ft_cnn:topic", 0)):
        identity = runner.complete(identity_of(tiny, variant, seed=seed))
        store.save(*runner.run(identity))
        for suffix in (".json", ".npz"):
            path = store.path(identity, suffix)
            assert path.read_bytes() == first[1][path.relative_to(settings.results).as_posix()]


@pytest.fixture
def with_a_guest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """methods/ as it is, and a user's own files beside the others."""
    folder = tmp_path / "methods"
    shutil.copytree(files.FOLDER, folder)
    shutil.copytree(GUESTS, folder, dirs_exist_ok=True)
    monkeypatch.setattr(files, "FOLDER", folder)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(GUESTS)])
    importlib.invalidate_caches()
    yield
    for path in GUESTS.glob("*.py"):
        sys.modules.pop(f"methods.{path.stem}", None)


def make_noise(tiny: Protocol, runner: Runner) -> None:
    """One run that seeds and draws to its end, and one that is stopped after it has seeded torch's generator."""
    runner.run(identity_of(tiny, "noisy"))
    with pytest.raises(SeedError):
        runner.run(identity_of(tiny, "noisy:torch"))


@pytest.mark.parametrize("variant", ["ft_cnn:topic", "icarl:original", "lecnet:paper", "der:buffer200"])
def test_adding_a_method_changes_nobodys_numbers(variant: str, tiny: Protocol, runner: Runner, with_a_guest: None) -> None:
    """Not even one that seeds and draws from the global generators between two runs."""
    identity = identity_of(tiny, variant)
    before = runner.run(identity)
    make_noise(tiny, runner)
    after = runner.run(identity)
    assert (after[0], after[2]) == (before[0], before[2])


def test_who_draws_from_global_generators_gets_the_same_draws(tiny: Protocol, runner: Runner, with_a_guest: None) -> None:
    """Nobody need seed anything: in a run alone, after others, and after somebody else has drawn; other draws for another seed."""
    identity = identity_of(tiny, "draws")
    alone = runner.run(identity)
    make_noise(tiny, runner)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    again, other = runner.run(identity), runner.run(identity.model_copy(update={"seed": 1}))
    assert (again[0], again[2]) == (alone[0], alone[2])
    draws = [value for record in (alone[0], other[0]) for session in record.sessions for value in session.log.values()]
    assert len(set(draws)) == 2 * (1 + 3 + 3)


def test_honest_habits_leave_nothing_behind(tiny: Protocol, runner: Runner, with_a_guest: None) -> None:
    """Functions under `functools.cache`, loggers, settings for a while: no run is refused for them, and the caches are empty again."""
    record, _, _ = runner.run(identity_of(tiny, "caches"))
    assert [session.numbers_kept for session in record.sessions] == [6 * 6 + 6, 6 * 6 + 6 + 8 * 8 + 8, 6 * 6 + 6 + 8 * 8 + 8 + 10 * 10 + 10]
    assert sys.modules["methods.caches"].identity.cache_info().currsize == 0


def one_way(protocol: Protocol, count: int) -> Protocol:
    return protocol.model_copy(update={"sessions": protocol.sessions.model_copy(update={"way": 1, "count": count})})


def test_another_session_shifts_none_before_it(each_method: str, tiny: Protocol, data_root: Path, results: Path) -> None:
    """Orders, shots, augmentations and initial rows of sessions 0 to 2 are the same with two sessions as with four."""
    if any(loading.load_base_kind(stage.base).knows_all_classes for stage in identity_of(tiny, each_method).stages):
        return  # its base session is another one where there are more classes to come, and its table says so

    def run(count: int) -> Record:
        protocol = one_way(tiny, count)
        return Runner(protocol, Settings(data_root, results, "cpu", 1)).run(identity_of(protocol, each_method))[0]

    short, long = run(2), run(4)
    assert long.order[:8] == short.order
    assert long.sessions[:3] == short.sessions


def test_what_the_bytes_depend_on_stands_in_the_record(first: tuple[Path, dict[str, bytes]]) -> None:
    """Processor, its instructions, threads, precision and versions; nothing that differs between two runs on one machine."""
    path = next(path for path in (first[0] / "records").rglob("seed00.json"))
    known = {"device", "instructions", "threads", "precision", "python", "torch", "torchvision", "numpy", "avalanche-lib", "compiler"}
    environment = read_record(path).environment
    assert known - {"compiler"} <= set(environment) <= known
    assert environment["threads"] == 1
