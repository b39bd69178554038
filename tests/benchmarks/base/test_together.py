"""Groups of seeds in a sweep: whose base sessions are trained together, and that a run cannot tell."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import methods.bases
from benchmarks.base import model as base_model
from benchmarks.base import together
from benchmarks.base.memory import memory_of, seeds_a_group
from benchmarks.base.model import BaseSessions
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.tensors import read_key, write_tensors
from benchmarks.base.training import train_together
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.running.runner import Runner
from benchmarks.system.errors import BusyError
from benchmarks.system.settings import Settings
from methods.contract import files
from methods.contract.base_kind import BaseKind
from protocols.schema import Protocol
from tests.recording import StandIn

SECOND = '''"""A second base session over the linear one."""
from methods.contract import BaseKind


class Second(BaseKind):
    """Goes on with the linear network."""

    parent = "linear"
'''


def runs_of(protocol: Protocol, variants: str, seeds: str = "0-2") -> list[Identity]:
    return identities(make_request(protocol, None, None, seeds, variants, []))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A CPU that seems to be a card: it records steps, and has memory for many seeds."""
    recorder = StandIn()
    monkeypatch.setattr(base_model, "recorder_for", lambda device: recorder)
    monkeypatch.setattr(together, "free_memory", lambda device: 2**40)
    return recorder


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the groups that were trained."""
    sizes: list[int] = []

    def counted(trainings: Sequence[Any], *arguments: Any) -> Any:
        sizes.append(len(trainings))
        return train_together(trainings, *arguments)

    monkeypatch.setattr(base_model, "train_together", counted)
    return sizes


@pytest.fixture(scope="module")
def alone(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Protocol], dict[str, bytes]]:
    """The bases of three seeds, each trained by its own run."""
    found: dict[str, bytes] = {}

    def train(protocol: Protocol) -> dict[str, bytes]:
        if not found:
            settings = Settings(data_root, tmp_path_factory.mktemp("alone"), "cpu", 1)
            for run in runs_of(protocol, "base_only"):
                Runner(protocol, settings).enter(run)
            found.update(bases(settings))
        return found

    return train


def bases(settings: Settings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (settings.results / ".base").glob("*.safetensors")}


def test_a_group_trains_once_and_its_runs_find_the_same_bytes(
    card: StandIn, groups: list[int], alone: Callable[[Protocol], dict[str, bytes]], tiny: Protocol, settings: Settings
) -> None:
    said: list[str] = []
    runner, runs = Runner(tiny, settings), runs_of(tiny, "base_only,proto")
    costs = [runner.watch(run, (), said.append, runs)[1] for run in runs]
    assert groups == [3]
    assert bases(settings) == alone(tiny)
    assert "3 seeds together: base session, epoch 2/2" in "\n".join(said)
    assert card.recorded > 0
    assert [cost.base_seconds > 0 for cost in costs] == [True, False] * 3, "its share of the group's time, told once a seed"
    assert {path.suffix for path in (settings.results / ".base").iterdir()} == {".safetensors", ".features", ".lock"}


def test_what_is_stored_or_trained_elsewhere_is_left_alone(
    card: StandIn, groups: list[int], alone: Callable[[Protocol], dict[str, bytes]], tiny: Protocol, settings: Settings
) -> None:
    """Seed 1 was trained before; another process holds seed 0, whose run is to be done later. Seed 2 waits for neither."""
    runs = runs_of(tiny, "base_only")
    expected = alone(tiny)
    stems = [
        Runner(tiny, settings).bases.session(seed, 0, None, None).stem
        for seed in map(Runner(tiny, settings).seed, completed(tiny, settings, runs))
    ]
    folder = settings.results / ".base"
    folder.mkdir(parents=True)
    (folder / f"{stems[1]}.safetensors").write_bytes(expected[f"{stems[1]}.safetensors"])
    runner = Runner(tiny, settings, wait=False)
    with (folder / f"{stems[0]}.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            runner.watch(runs[0], (), group=runs)
        assert groups == [1]
        assert bases(settings) == {f"{stem}.safetensors": expected[f"{stem}.safetensors"] for stem in stems[1:]}
        runner.watch(runs[2], (), group=runs)
    runner.watch(runs[0], (), group=runs)
    assert bases(settings) == expected


def test_a_base_of_another_machine_that_does_not_fit_is_trained_with_the_group(
    card: StandIn, groups: list[int], alone: Callable[[Protocol], dict[str, bytes]], tiny: Protocol, settings: Settings
) -> None:
    """Its key agrees, so it may seem to be there."""
    expected, runs = alone(tiny), runs_of(tiny, "base_only")
    name, content = min(expected.items())
    path = settings.results / ".base" / "taken" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    key = read_key(path)
    assert key is not None
    write_tensors(path, key, {"head.weight": torch.ones(1)})
    Runner(tiny, settings).watch(runs[0], (), group=runs)
    assert (groups, bases(settings)) == ([3], expected)


def completed(protocol: Protocol, settings: Settings, runs: Sequence[Identity]) -> list[Identity]:
    runner = Runner(protocol, settings)
    return [runner.complete(run) for run in runs]


def test_one_process_trains_a_group_at_a_time(card: StandIn, groups: list[int], tiny: Protocol, settings: Settings) -> None:
    runs, folder = runs_of(tiny, "base_only"), settings.results / ".base"
    folder.mkdir(parents=True)
    runner = Runner(tiny, settings, wait=False)
    with (folder / together.lock_name()).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError) as caught:
            runner.watch(runs[0], (), group=runs)
    assert caught.value.lock == folder / together.lock_name()
    assert caught.value.awaited is not None and not caught.value.awaited.exists()
    assert groups == []


def test_a_run_whose_base_is_there_waits_for_no_group(card: StandIn, groups: list[int], tiny: Protocol, settings: Settings) -> None:
    """One H100 idled because of it: while a second kind was trained, nobody did the runs of the first."""
    runs, folder = runs_of(tiny, "base_only"), settings.results / ".base"
    Runner(tiny, settings).watch(runs[0], (), group=runs)
    (folder / together.lock_name()).touch()
    with (folder / together.lock_name()).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        Runner(tiny, settings, wait=False).watch(runs[1], (), group=runs)
    assert groups == [3]


def test_a_seed_that_fails_fails_alone_and_is_not_trained_twice(
    card: StandIn, groups: list[int], tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = base_model.train_together

    def second_fails(trainings: Sequence[Any], *arguments: Any) -> Any:
        first, _, last = counted(trainings, *arguments)
        return [first, FloatingPointError("the loss is nan"), last]

    monkeypatch.setattr(base_model, "train_together", second_fails)
    runner, runs = Runner(tiny, settings), runs_of(tiny, "base_only")
    runner.watch(runs[0], (), group=runs)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        runner.watch(runs[1], (), group=runs)
    runner.watch(runs[2], (), group=runs)
    assert groups == [3]
    assert len(bases(settings)) == 2


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A base kind that goes on with the linear one."""
    folder = shutil.copytree(files.BASES, tmp_path / "bases", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "second.py").write_text(SECOND, encoding="utf-8")
    monkeypatch.setattr(files, "BASES", folder)
    monkeypatch.setattr(methods.bases, "__path__", [*methods.bases.__path__, str(folder)])
    yield


def test_two_stages_are_trained_stage_by_stage(
    card: StandIn, second: None, groups: list[int], tiny: Protocol, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_of(tiny, "base_only@second", "0-1")
    Runner(tiny, settings).watch(runs[0], (), group=runs)
    assert groups == [2, 2]
    monkeypatch.setattr(base_model, "recorder_for", lambda device: None)
    apart = replace(settings, results=tmp_path / "apart")
    for run in runs:
        Runner(tiny, apart).enter(run)
    assert bases(settings) == bases(apart)


def test_a_group_that_cannot_train_together_trains_one_by_one(
    card: StandIn, groups: list[int], tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*arguments: Any) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory\nand more")

    monkeypatch.setattr(together, "memory_of", no_memory)
    said: list[str] = []
    runs = runs_of(tiny, "base_only", "0-1")
    Runner(tiny, settings).watch(runs[0], (), said.append, runs)
    assert said[0] == "seeds train one by one: CUDA out of memory"
    assert len(bases(settings)) == 1


def test_a_processor_trains_one_seed_after_the_other(groups: list[int], tiny: Protocol, settings: Settings) -> None:
    runs = runs_of(tiny, "base_only")
    Runner(tiny, settings).watch(runs[0], (), group=runs)
    assert (groups, len(bases(settings))) == ([1], 1)


# How many --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "each", "wanted", "expected"),
    [(80, 4, 10, 10), (80, 8, 10, 5), (80, 100, 10, 1), (0, 8, 10, 1), (80, 0, 3, 3)],
    ids=["all fit", "some fit", "one is too large", "a processor", "nothing known"],
)
def test_seeds_a_group(free: int, each: int, wanted: int, expected: int) -> None:
    assert seeds_a_group(free * 2**30, each * 2**30, wanted) == expected


def test_a_memory_of_five_seeds_makes_groups_of_two_and_one(
    card: StandIn, groups: list[int], tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "seeds_a_group", lambda free, each, wanted: 2)
    runs = runs_of(tiny, "base_only")
    Runner(tiny, settings).watch(runs[0], (), group=runs)
    assert groups == [2, 1]


def test_memory_grows_with_the_batch_and_its_views(tiny: Protocol) -> None:
    """Two convolutions of 8 x 8 pixels: what one image saves is known by hand to the layer below its first pooling."""
    network, kind = build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0), kind_of("linear")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one, two = (memory_of(network, kind, 1, [8], batch) for batch in (64, 128))
    weights = 4 * sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    assert two - weights == 2 * (one - weights)
    assert one - weights > 3 * 64 * 4 * 64 * 8 * 8 * 2, "at least inputs of batch norm and ReLU of the first layer, 64 maps each"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(kind, BaseKind)
    assert BaseSessions(tiny, Path(), torch.device("cpu"), None).groups_seeds is False


def test_groups_of_other_machines_and_jobs_train_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the results folder, but no card."""
    names = {together.lock_name()}
    assert names == {together.lock_name()}
    for variable, value in (("CUDA_VISIBLE_DEVICES", "3"), ("SLURM_JOB_ID", "17")):
        monkeypatch.setenv(variable, value)
        names.add(together.lock_name())
    monkeypatch.setattr("platform.node", lambda: "another")
    assert len({*names, together.lock_name()}) == 4
