"""Sessions of Joint-CNN and Ft-CNN through recorded steps: the same bytes as step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from avalanche.core import SupervisedPlugin

from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.contract import strategy
from methods.contract.loading import load_method
from methods.contract.registry import method_names
from protocols.schema import Protocol
from tests.methods.runs import identity_of
from tests.recording import StandIn

CASES = [("ft_cnn", ["epochs=5", "schedule=cosine", "milestones=[]", "batch=4"]), ("joint_cnn:balanced", ["batch=70", "milestones=[1]"])]


@pytest.mark.parametrize(("variant", "overrides"), CASES, ids=[name for name, _ in CASES])
def test_the_bytes_are_those_of_single_steps(
    variant: str, overrides: list[str], tiny: Protocol, data_root: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shapes a session, a rate that changes at every step or by milestones; every session records anew, as its head has grown."""
    runner, identity = Runner(tiny, Settings(data_root, results, "cpu", 1, record_sessions=True)), identity_of(tiny, variant, *overrides)
    record, _, predictions = runner.run(identity)
    recorder = StandIn()
    monkeypatch.setattr(strategy, "recorder_for", lambda device: recorder)
    again, _, same_predictions = runner.run(identity)
    assert (again, same_predictions) == (record, predictions)
    assert recorder.recorded == 2 * tiny.sessions.count
    assert recorder.replayed > recorder.recorded


def test_a_plugin_sees_every_step(tiny: Protocol, data_root: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording would not call it."""

    class Counts(SupervisedPlugin):
        updates = 0

        def before_update(self, strategy: object, **kwargs: object) -> None:
            self.updates += 1

    recorder = StandIn()
    monkeypatch.setattr(strategy, "recorder_for", lambda device: recorder)
    contender = Runner(tiny, Settings(data_root, results, "cpu", 1, record_sessions=True)).enter(identity_of(tiny, "ft_cnn", "epochs=4"))
    contender.strategy.plugins.append(plugin := Counts())
    contender.train(0, 0)
    contender.train(1, 0)
    assert (plugin.updates, recorder.recorded) == (4, 0)


def test_a_step_leaves_no_graph_behind(tiny: Protocol, data_root: Path, results: Path) -> None:
    """What gradients flow through keeps its CUDA stream as long as anything holds the graph, and a recording has streams of its own."""
    seen = []

    class Looks(SupervisedPlugin):
        def after_training_iteration(self, strategy: Any, **kwargs: object) -> None:
            seen.append((strategy.mb_output.grad_fn, strategy.loss.grad_fn))

    contender = Runner(tiny, Settings(data_root, results, "cpu", 1)).enter(identity_of(tiny, "ft_cnn", "epochs=2"))
    contender.strategy.plugins.append(Looks())
    contender.train(0, 0)
    contender.train(1, 0)
    assert seen == [(None, None)] * 2


def test_sessions_are_recorded_only_when_asked(tiny: Protocol, data_root: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = StandIn()
    monkeypatch.setattr(strategy, "recorder_for", lambda device: recorder)
    Runner(tiny, Settings(data_root, results, "cpu", 1)).run(identity_of(tiny, "ft_cnn"))
    assert recorder.recorded == 0


def test_a_method_is_recorded_only_if_it_says_so() -> None:
    assert {name for name in method_names() if load_method(name).capturable} == {"ft_cnn", "joint_cnn"}
