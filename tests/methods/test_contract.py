"""What every method must keep to, whatever it does: one test a promise, run for every file in methods/.

On a method's first preset; on all of them with `--all-presets` (make test-all).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.base.features import state_sha256
from benchmarks.records.identity import Identity
from benchmarks.records.reading import to_json
from benchmarks.running import evaluate
from benchmarks.running.runner import Contender, Runner
from benchmarks.system.settings import Settings
from methods.contract import SessionStrategy, TrainConfig
from methods.contract.registry import load_method
from protocols.schema import Protocol
from tests.methods.runs import SHIPPED, identity_of


def record_bytes(runner: Runner, identity: Identity) -> tuple[bytes, bytes]:
    record, _, predictions = runner.run(identity)
    return to_json(record.model_dump(mode="json")), predictions


def through_sessions(runner: Runner, identity: Identity) -> Iterator[tuple[int, Contender]]:
    """The contender after each session."""
    contender = runner.enter(identity)
    for session in range(identity.sessions.count + 1):
        contender.train(session, identity.seed)
        yield session, contender


@pytest.fixture(scope="module")
def done() -> dict[str, tuple[bytes, bytes]]:
    """What `alone` has run, by variant."""
    return {}


@pytest.fixture
def alone(each_method: str, tiny: Protocol, runner: Runner, done: dict[str, tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Record and predictions of the method's run of seed 0."""
    if each_method not in done:
        done[each_method] = record_bytes(runner, identity_of(tiny, each_method))
    return done[each_method]


def test_runs_through_all_sessions(each_method: str, tiny: Protocol, runner: Runner) -> None:
    record, costs, _ = runner.run(identity_of(tiny, each_method))
    assert [len(s.correct) for s in record.sessions] == [6, 8, 10]
    assert sum(record.sessions[0].correct) > 0.5 * sum(record.sessions[0].total), "the base model is lost"
    assert len(costs.session_seconds) == len(costs.evaluation_seconds) == 3


def test_same_seed_same_bytes_with_a_cached_or_a_fresh_base(
    each_method: str, alone: tuple[bytes, bytes], tiny: Protocol, runner: Runner, data_root: Path, tmp_path: Path
) -> None:
    identity = identity_of(tiny, each_method)
    assert record_bytes(runner, identity) == alone
    fresh = Runner(tiny, Settings(data_root, tmp_path, "cpu", 1))
    assert record_bytes(fresh, identity) == alone


def test_independent_of_what_ran_before(each_method: str, alone: tuple[bytes, bytes], tiny: Protocol, runner: Runner) -> None:
    runner.run(identity_of(tiny, "ft_cnn", seed=1))
    runner.run(identity_of(tiny, "lecnet"))
    torch.manual_seed(12345)
    assert record_bytes(runner, identity_of(tiny, each_method)) == alone


def test_another_seed_is_another_run(each_method: str, alone: tuple[bytes, bytes], tiny: Protocol, runner: Runner) -> None:
    first, second = json.loads(alone[0]), json.loads(record_bytes(runner, identity_of(tiny, each_method, seed=1))[0])
    assert first["order"] != second["order"]
    assert first["sessions"] != second["sessions"]


def test_predictions_do_not_depend_on_the_evaluation_batch(
    each_method: str, alone: tuple[bytes, bytes], tiny: Protocol, data_root: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traps 5 and 15: a transductive gate or batch norm over test batches would show here."""
    monkeypatch.setattr(evaluate, "BATCH", 7)
    _, small = record_bytes(Runner(tiny, Settings(data_root, results, "cpu", 1)), identity_of(tiny, each_method))
    assert small == alone[1]


def test_evaluation_changes_nothing(each_method: str, tiny: Protocol, runner: Runner) -> None:
    """Evaluated after every session, or never: the same model."""
    identity = identity_of(tiny, each_method)
    evaluated = []
    for session, contender in through_sessions(runner, identity):
        contender.seed_context.evaluator.evaluate(contender.strategy, session)
        evaluated.append(state_sha256(contender.strategy.model))
    undisturbed = [state_sha256(contender.strategy.model) for _, contender in through_sessions(runner, identity)]
    assert evaluated == undisturbed


def batch_norm_state(module: nn.Module) -> list[Tensor]:
    return [b.clone() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for b in m.buffers()]


def test_batch_norm_statistics_stay_where_they_are_declared_frozen(each_method: str, tiny: Protocol, runner: Runner) -> None:
    """Trap 1. And they do move where a method declares that they train."""
    identity = identity_of(tiny, each_method)
    states = [batch_norm_state(contender.strategy.model) for _, contender in through_sessions(runner, identity)]
    assert states[0], "the tiny network has batch norm"
    same = all(torch.equal(a, b) for a, b in zip(states[0], states[-1], strict=True))
    assert same == (identity.config.get("batch_norm", "eval") == "eval")


def test_memory_is_within_its_declared_budget(each_method: str, tiny: Protocol, runner: Runner) -> None:
    for session, contender in through_sessions(runner, identity_of(tiny, each_method)):
        budget = contender.memory.budget
        assert budget is None or len(contender.memory.indices) <= budget
        seen = torch.cat([torch.from_numpy(rows) for rows in contender.seed_context.split.train[: session + 1]])
        assert bool(torch.isin(contender.memory.indices, seen).all())


def tensors_within(value: Any, depth: int = 4) -> Iterator[Tensor]:
    """Tensors that an object holds, in attributes, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from tensors_within(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors_within(item, depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type):
        yield from tensors_within(vars(value), depth - 1)


def test_keeps_no_image_but_in_its_memory(each_method: str, tiny: Protocol, runner: Runner) -> None:
    for _, contender in through_sessions(runner, identity_of(tiny, each_method)):
        held = {name: value for name, value in vars(contender.strategy).items() if name != "context"}
        images = [t for t in tensors_within(held) if t.shape[1:] == (1, 8, 8)]
        assert not images, "a batch of images outlives its session"


def test_frozen_parameters_are_bit_equal_and_trained_ones_move(
    each_method: str, tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 13: weight decay or momentum on parameters that are declared frozen."""
    identity = identity_of(tiny, each_method)
    before: dict[str, Tensor] = {}
    chosen: dict[int, tuple[nn.Parameter, Tensor]] = {}  # and what they were, before anything trained
    trainable = load_method(identity.method).trainable

    def note(strategy: SessionStrategy) -> list[nn.Parameter]:
        """What the method declares, in every phase of the session: it may depend on what a session has at hand."""
        parameters = list(trainable(strategy))
        for p in parameters:
            chosen.setdefault(id(p), (p, p.detach().clone()))
        return parameters

    monkeypatch.setattr(load_method(identity.method), "trainable", note)
    for session, contender in through_sessions(runner, identity):
        model = contender.strategy.model
        now = {name: p.detach().clone() for name, p in model.named_parameters()}
        if session and before:
            for name, parameter in model.named_parameters():
                if name in before and id(parameter) not in chosen:
                    old = before[name]
                    assert torch.equal(old, grown_from(old, now[name])), f"{name} moved in session {session}"
            moved = [p for p, start in chosen.values() if not torch.equal(p, start)]
            assert bool(moved) == trains(identity)
        before = now
        chosen.clear()


def trains(identity: Identity) -> bool:
    return issubclass(load_method(identity.method).Config, TrainConfig)


def grown_from(old: Tensor, new: Tensor) -> Tensor:
    """The part of `new` that stands where `old` stood: heads grow at the end."""
    return new[: len(old)] if old.dim() else new


@pytest.mark.parametrize("name", SHIPPED)
def test_docstring_names_a_source(name: str) -> None:
    """Of the methods that come with the suite; a user's own may come from anywhere."""
    doc = importlib.import_module(f"methods.{name}").__doc__ or ""
    assert "docs/methods.md" in doc, "say where the method comes from"
