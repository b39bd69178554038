"""Sessions that train on stored vectors, beside images or without any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.planning.plan import identities, make_request
from benchmarks.running.audit import numbers_kept
from benchmarks.running.runner import Contender, Runner
from methods.contract.memory import BudgetError
from methods.parts.vectors import WithVectors
from protocols.schema import Protocol

GUESTS = Path(__file__).resolve().parents[1] / "trust" / "guests"


@pytest.fixture
def guest(methods_in: Callable[[Path], None], tiny: Protocol, runner: Runner) -> Callable[[str], Contender]:
    methods_in(GUESTS)
    recipes = {name: recipe.model_copy(update={"methods": {}}) for name, recipe in tiny.recipes.items()}  # these are not here
    bare = tiny.model_copy(update={"recipes": recipes})
    return lambda variant: runner.enter(identities(make_request(bare, None, None, "0", variant, []))[0])


def test_old_means_stand_beside_the_shots(guest: Callable[[str], Contender]) -> None:
    """tiny: six base classes, then sessions of two classes with five shots; all in one batch."""
    contender = guest("replays_means")
    for session in range(3):
        contender.train(session, 0)
    old = [0, 1, 2, 3, 4, 5]
    first, second = sorted(old + [6, 7] * 5), sorted([*old, 6, 7] + [8, 9] * 5)
    assert contender.strategy.batches_of == [first] * 3 + [second] * 3
    assert len(contender.memory.indices) == 0
    assert numbers_kept(contender.strategy) == 10 * contender.strategy.model.feature_dim


def test_a_session_without_images(guest: Callable[[str], Contender]) -> None:
    contender = guest("replays_means:alone")
    contender.train(0, 0)
    before = contender.strategy.model.head.weight.detach().clone()
    contender.train(1, 0)
    assert contender.strategy.batches_of == [[0, 1, 2, 3, 4, 5]] * 3
    assert not torch.equal(contender.strategy.model.head.weight[:6], before), "the head has trained"
    assert contender.test(1).predictions.max() < 8


def test_more_than_declared_is_refused(guest: Callable[[str], Contender]) -> None:
    with pytest.raises(BudgetError, match="numbers outside the network, but declares at most 0"):
        guest("replays_means:too_many").train(0, 0)


def test_batches_are_shuffled_and_hold_each_vector_once() -> None:
    torch.manual_seed(0)
    batches = WithVectors(None, 0, torch.arange(10.0)[:, None], torch.arange(10), 4)
    for _ in range(2):
        epoch = list(batches)
        assert len(epoch) == len(batches)
        assert [len(y) for _, y, _ in epoch] == [4, 4, 2]
        labels = torch.cat([y for _, y, _ in epoch])
        assert sorted(labels.tolist()) == list(range(10)) != labels.tolist()
        assert torch.equal(torch.cat([x for x, _, _ in epoch])[:, 0], labels.float())
    with pytest.raises(ValueError, match="3 of them, but 2 labels"):
        WithVectors(None, 0, torch.zeros(3, 1), torch.zeros(2), None)
