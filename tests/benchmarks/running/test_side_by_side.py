"""Runs of several seeds in one process: their steps are done together, and each finds what it would find alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.base import model as base_model
from benchmarks.base import together
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.store import Store
from benchmarks.running import guard, seed_groups
from benchmarks.running.runner import Runner
from benchmarks.running.side_by_side import runs_beside, session_steps, side_by_side
from benchmarks.sweeping import worker
from benchmarks.sweeping.progress import Event
from benchmarks.sweeping.worker import Task
from benchmarks.system.settings import Settings
from methods.contract import strategy
from methods.parts.capture import Batch, Branch, Eager, steps_with
from protocols.schema import Protocol
from tests.methods.runs import identity_of
from tests.recording import StandIn


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A CPU that seems to be a card with memory for many seeds."""
    recorder = StandIn()
    for module in (base_model, strategy):
        monkeypatch.setattr(module, "recorder_for", lambda device: recorder)
    for module in (together, seed_groups):
        monkeypatch.setattr(module, "free_memory", lambda device: 2**40)
    return recorder


class Counting(Eager):
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]:
        self.sizes.append(len(branches))
        return super().__call__(branches, batches)


def trains(number: int, steps: int, notes: list[tuple[int, Any]]) -> str:
    """A run that draws from every generator around its steps, and blocks a folder of its own."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)
    branch = Branch(lambda batch, recorded: batch[0] + number, list)
    with guard.blocked((f"/nowhere/{number}",)):
        for step in range(steps):
            [loss] = session_steps(StandIn())([branch], [[torch.tensor(10.0 * step)]])
            assert float(loss) == 10 * step + number
            assert guard.blocked_now() == (f"/nowhere/{number}",)
            notes.append((number, (float(torch.rand(())), random.random(), float(np.random.rand()))))
    return f"run {number}"


def test_each_finds_its_own_generators_and_blocked_folders() -> None:
    """One ends earlier than the others, which then go on without it."""
    notes: list[tuple[int, Any]] = []
    alone: list[tuple[int, Any]] = []
    counting = Counting()
    state = torch.get_rng_state()
    works = [partial(trains, number, steps, notes) for number, steps in enumerate((3, 1, 2))]
    assert side_by_side(works, counting) == ["run 0", "run 1", "run 2"]
    assert counting.sizes == [3, 2, 1]
    assert [number for number, _ in notes] == [0, 1, 2, 0, 2, 0], "in turn"
    assert torch.equal(torch.get_rng_state(), state)
    assert guard.blocked_now() == ()
    for number, steps in enumerate((3, 1, 2)):
        side_by_side([partial(trains, number, steps, alone)], Eager())
    assert sorted(notes) == sorted(alone)


def test_an_error_ends_its_own_run_only() -> None:
    notes: list[tuple[int, Any]] = []

    def fails() -> str:
        trains(7, 1, notes)
        raise KeyError("mine")

    works: list[Callable[[], str]] = [fails, partial(trains, 1, 3, notes)]
    with pytest.raises(KeyError, match="mine"):
        side_by_side(works, Eager())
    assert [number for number, _ in notes] == [7, 1, 1, 1]


def test_a_step_that_fails_is_told_to_all() -> None:
    class Full(Eager):
        def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    told: list[str] = []

    def run(number: int) -> None:
        try:
            trains(number, 2, [])
        except RuntimeError as error:
            told.append(str(error))

    side_by_side([partial(run, 0), partial(run, 1)], Full())
    assert told == ["a step of several runs failed: CUDA out of memory"] * 2


def test_alone_nothing_is_shared() -> None:
    assert runs_beside() == 1
    assert isinstance(session_steps(None), Eager)
    assert type(session_steps(StandIn())) is type(steps_with(StandIn()))


def test_a_sweep_does_seeds_side_by_side_and_stores_the_same_records(
    card: StandIn, tiny: Protocol, data_root: Path, settings: Settings, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one method, and one whose steps nobody records. The records are those of runs alone on a processor."""
    settings = replace(settings, record_sessions=True)
    runs = identities(make_request(tiny, None, None, "0-1", "ft_cnn,base_only", []))
    runs = [Runner(tiny, settings).complete(run) for run in runs]
    sizes: list[int] = []

    def counted(works: Sequence[Callable[[], Any]], steps: Eager) -> Any:
        sizes.append(len(works))
        return side_by_side(works, steps)

    monkeypatch.setattr(seed_groups, "side_by_side", counted)
    events: list[Event] = []
    ledger = Ledger(Store(settings.results))
    worker.work(Task(tiny, settings, ledger, 0.0, "this sweep"), runs, events.append)
    assert sizes == [2]
    assert [event.kind for event in events if event.kind in ("done", "failed")] == ["done"] * 4
    monkeypatch.setattr(base_model, "recorder_for", lambda device: None)
    monkeypatch.setattr(strategy, "recorder_for", lambda device: None)
    alone = Runner(tiny, Settings(data_root, results, "cpu", 1))
    for run in runs:
        found = ledger.record(run)
        assert found is not None
        assert found.model_dump(mode="json") == alone.run(run)[0].model_dump(mode="json")


def test_who_goes_beside_whom(card: StandIn, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [identity_of(tiny, variant, seed=seed) for seed in range(3) for variant in ("ft_cnn", "proto", "ft_cnn:slow")]
    assert Runner(tiny, settings).peers(runs[3], runs) == [], "nobody asked for it"
    settings = replace(settings, record_sessions=True)
    runner = Runner(tiny, settings)
    assert [(run.variant, run.seed) for run in runner.peers(runs[3], runs)] == [("ft_cnn:topic", 0), ("ft_cnn:topic", 2)]
    assert runner.peers(runs[1], runs) == [], "its steps are not recorded"
    monkeypatch.setattr(seed_groups, "seeds_a_group", lambda free, each, wanted: 2)
    assert len(runner.peers(runs[3], runs)) == 1, "no more than the card holds"
    monkeypatch.setattr(base_model, "recorder_for", lambda device: None)
    assert Runner(tiny, settings).peers(runs[3], runs) == [], "a processor"
