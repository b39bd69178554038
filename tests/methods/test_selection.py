"""Epochs chosen by test images: the published rule, who is granted them, and that nobody else is (docs/methods.md 7.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn

from benchmarks.base.features import state_sha256
from benchmarks.running.runner import Contender, Runner
from methods.contract import SessionStrategy
from methods.contract.selection import BestEpoch, Measured, weighted
from protocols.schema import Protocol
from tests.methods.by_hand import normalised
from tests.methods.runs import VARIANTS, Enter, Run, identity_of, train_all


def chosen_by(accuracies: list[tuple[float, float]]) -> int | None:
    """The epoch that BestEpoch holds at the end, by a model whose one weight is the epoch's number."""
    model, best = nn.Linear(1, 1), BestEpoch()
    for epoch, (old, novel) in enumerate(accuracies):
        model.weight.data.fill_(epoch)
        best.offer(model, Measured(old, old, novel))
    model.weight.data.fill_(-1)
    best.restore(model)
    return None if model.weight.item() == -1 else int(model.weight.item())


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ([(60, 10), (50, 51), (40, 70)], 1),  # the first with novel > old; the later one is better in novel only
        ([(60, 10), (50, 51), (55, 50.5)], 1),  # better in old only
        ([(60, 10), (50, 51), (50, 60)], 1),  # equal in old is not better
        ([(60, 10), (50, 51), (55, 51)], 1),  # equal in novel neither
        ([(60, 10), (50, 51), (51, 52), (90, 40), (52, 53)], 4),  # better in both than the one that stands
        ([(60, 10), (50, 51), (80, 55)], 2),  # later epochs need not have novel > old
        ([(50, 51), (60, 99), (59, 98)], 1),  # compared with the best so far, not with the first
        ([(60, 60), (60, 61)], 1),  # equal is not enough at first either
        ([(60, 10), (50, 50), (50, 40)], None),  # never met: the last epoch stands
        ([], None),
    ],
)
def test_best_epoch_follows_topics_rule(accuracies: list[tuple[float, float]], epoch: int | None) -> None:
    assert chosen_by(accuracies) == epoch


def test_old_accuracy_weighs_sessions_by_their_classes() -> None:
    """The `class_count` mean of docs/methods.md 2: 6 classes of 80 and 2 of 40 are 70, not 60."""
    assert weighted([80.0, 40.0], [6, 2]) == pytest.approx(70.0)
    best, model = BestEpoch(), nn.Linear(1, 1)
    best.offer(model, Measured(80.0, 70.0, 65.0))
    assert best.state is None and best.epochs == 1
    best.offer(model, Measured(60.0, 70.0, 71.0))
    assert (best.old, best.novel, best.epochs) == (70.0, 71.0, 2), "the rule asks for all old classes, not for the base alone"


def test_restore_puts_back_weights_and_statistics_as_they_were() -> None:
    """The state kept is a copy: what trains on does not move it."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    best = BestEpoch()
    best.offer(model, Measured(1.0, 1.0, 2.0))
    model(torch.randn(8, 2) + 5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert all(not torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    best.restore(model)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_test_images_are_granted_to_oracle_test_only(variant: str, tiny: Protocol, runner: Runner) -> None:
    """docs/methods.md 10, no. 1: no method can reach a test image unless its record will say so."""
    identity = identity_of(tiny, variant)
    strategy = runner.enter(identity).strategy
    if identity.config.get("selection", "last") == "oracle_test":
        assert strategy.context.oracle is not None
        return
    assert strategy.context.oracle is None
    with pytest.raises(RuntimeError, match="granted under selection val or oracle_test only"):
        strategy.measured()


@pytest.mark.parametrize("selection", ["last", "val", "oracle_test"])
def test_the_record_says_what_chose_the_epochs(selection: str, run: Run) -> None:
    record = run("ft_cnn", f"selection={selection}")
    assert record.selection == selection
    assert record.identity.config["selection"] == selection


class EpochEnds(SupervisedPlugin):
    """The model's state after each epoch of a session."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.states.append(state_sha256(strategy.model))


def scripted(contender: Contender, accuracies: dict[int, list[list[float]]]) -> EpochEnds:
    """Let the oracle of each session answer these, epoch by epoch; a spy on the epochs' ends."""
    answers: dict[int, Iterator[list[float]]] = {session: iter(lists) for session, lists in accuracies.items()}

    def oracle(strategy: SessionStrategy) -> Measured:
        *old, novel = next(answers[strategy.session])
        return Measured(old[0], weighted(old, [6, 2][: len(old)]), novel)

    spy = EpochEnds()
    contender.strategy.plugins.append(spy)
    contender.strategy.context = dataclasses.replace(contender.strategy.context, oracle=oracle)
    return spy


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ([[60, 10], [50, 51], [40, 70]], 1),
        ([[60, 61], [50, 51], [40, 70]], 0),
        ([[60, 10], [50, 51], [51, 52]], 2),
        ([[60, 10], [60, 11], [60, 12]], 2),
    ],
)
def test_session_ends_at_the_epoch_that_was_chosen(accuracies: list[list[float]], epoch: int, enter: Enter) -> None:
    """In the last two cases the last epoch stands: it is the best, or the rule is never met."""
    contender = enter("ft_cnn", "selection=oracle_test")
    spy = scripted(contender, {1: accuracies, 2: [[60, 60, 10], [60, 60, 70], [50, 50, 50]]})
    contender.train(0, 0)
    assert spy.states == []
    contender.train(1, 0)
    assert len(set(spy.states)) == 3
    assert state_sha256(contender.strategy.model) == spy.states[epoch]
    spy.states.clear()
    contender.train(2, 0)  # a new session, a new choice
    assert state_sha256(contender.strategy.model) == spy.states[1]


def test_oracle_gives_the_evaluators_accuracies_and_disturbs_no_training(enter: Enter) -> None:
    """Epoch by epoch the same weights as without it; what it answers is what the session's end would be scored."""
    spies = {}
    for selection in ("last", "oracle_test"):
        contender = enter("ft_cnn", f"selection={selection}")
        spies[selection] = EpochEnds()
        contender.strategy.plugins.append(spies[selection])
        train_all(contender, 2)
    assert len(spies["last"].states) == 3
    assert spies["last"].states == spies["oracle_test"].states
    base, old, novel = contender.strategy.measured()
    assert base == old
    x, y = contender.seed_context.tensors.test, contender.seed_context.tensors.test_labels
    with torch.no_grad():
        predicted: Tensor = contender.strategy.model(normalised(x)).argmax(1)
    parts = [(y >= 0) & (y < 6), (y == 6) | (y == 7)]
    assert [base, novel] == pytest.approx([100 * (predicted[part] == y[part]).float().mean().item() for part in parts], abs=1e-3)


@pytest.mark.parametrize(
    ("novel", "epochs"),
    [
        ([10.0, 60.0, 99.0, 99.0, 99.0], 2),  # equal is enough
        ([10.0, 59.9, 60.1, 99.0, 99.0], 3),
        ([60.0, 0.0, 0.0, 0.0, 0.0], 1),
        ([10.0, 20.0, 30.0, 40.0, 50.0], 5),  # never: after max_epochs
    ],
)
def test_lecnet_stops_when_novel_has_come_up_to_old(novel: list[float], epochs: int, enter: Enter) -> None:
    contender = enter("lecnet:oracle")
    spy = scripted(contender, {1: [[60.0, n] for n in novel]})
    train_all(contender, 2)
    assert len(spy.states) == epochs
    assert contender.strategy.session_log()["epochs"] == epochs


@pytest.mark.parametrize(("stop_old", "epochs"), [("seen", 2), ("base", 3)])
def test_lecnets_old_classes_are_all_before_or_the_base(stop_old: str, epochs: int, enter: Enter) -> None:
    """No. 23: 6 classes of 60 and 2 of 20 are 50 over all seen."""
    contender = enter("lecnet:oracle", f"stop_old={stop_old}")
    spy = scripted(contender, {1: [[0.0, 0.0]], 2: [[60.0, 20.0, novel] for novel in (45.0, 55.0, 65.0, 99.0, 99.0)]})
    for session in range(3):
        spy.states.clear()
        contender.train(session, 0)
    assert len(spy.states) == epochs
