"""Several seeds' base sessions trained together, eagerly and through recorded steps: each gets the bytes that it gets alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.base import cache as base_cache
from benchmarks.base.cache import Checkpoint
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.training import BaseTraining, train_base, train_together
from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Transform
from methods.bases.etf import Etf
from methods.bases.virtual import VirtualClasses
from methods.contract import BaseKind, BaseStep
from methods.contract.registry import base_kind_names
from methods.parts.capture import Captured, Recording, Steps
from methods.parts.network import Network
from methods.parts.optimizer import make_capturable, optimizer_for, set_lr
from protocols.schema import Augment, Data, Protocol, Recipe, Sessions
from tests.benchmarks.base.test_base_session import small_kind
from tests.recording import StandIn

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
SETTINGS: dict[str, dict[str, Any]] = {
    "onecycle": {"lr": 0.1, "schedule": "onecycle"},
    "dampening": {"lr": 0.1, "nesterov": False, "dampening": 0.9, "milestones": (2,)},
    "no momentum": {"lr": 0.1, "momentum": 0.0, "nesterov": False, "schedule": "cosine"},
}
State = Mapping[str, Tensor]


def make_batches(kind: BaseKind, seed: int, count: int = 40) -> Batches:
    """Two whole batches and a ragged one, in all views of the kind."""
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    data = Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,))
    transform, *more = (Transform(data, *view) for view in ((Augment(pad=1), None), *kind.other_views(Augment(pad=1))))
    return Batches(images, torch.arange(count) % 6, torch.arange(count), transform, 16, seed, "base", more=more)


class Training:
    """Prepares seeds of the tiny protocol, and keeps what they report."""

    def __init__(self, tiny: Protocol, folder: Path, kind: BaseKind | None = None, epochs: int = 3, **settings: Any) -> None:
        self.tiny, self.folder, self.kind = tiny, folder, kind or kind_of("linear")
        self.recipe = Recipe(epochs=epochs, batch=16, **(settings or SETTINGS["onecycle"]))
        self.reports: list[tuple[int, int, float]] = []

    def of(self, seed: int, report: Callable[[int, float], None] | None = None, count: int = 40) -> BaseTraining:
        network = build_network(self.tiny, self.kind, "fp32", seed, None, 1.0)
        checkpoint = Checkpoint(self.folder / f"{seed}.checkpoint", BaseKey({"seed": seed}))
        report = report or (lambda epoch, loss: self.reports.append((seed, epoch, loss)))
        return BaseTraining(network, self.kind, make_batches(self.kind, seed, count), self.recipe, checkpoint, report)

    def alone(self, seed: int, steps: Steps | None = None) -> State:
        one = self.of(seed)
        train_base(one.network, one.kind, one.batches, one.recipe, CPU, one.checkpoint, one.report, steps)
        return one.network.state_dict()

    def together(self, seeds: tuple[int, ...] = SEEDS, steps: Steps | None = None) -> list[State]:
        several = [self.of(seed) for seed in seeds]
        assert train_together(several, CPU, steps) == [None] * len(seeds)
        assert not any(one.network.training for one in several)
        return [one.network.state_dict() for one in several]


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("settings", SETTINGS)
def test_one_seed_alone_and_three_together_give_the_same_bytes(settings: str, tiny: Protocol, tmp_path: Path) -> None:
    """Eagerly and recorded, with a rate that is a number and one that is a tensor, which changes at every step."""
    train = Training(tiny, tmp_path, **SETTINGS[settings])
    expected = [train.alone(seed) for seed in SEEDS]
    alone = sorted(train.reports)
    assert not same(expected[0], expected[1])
    for steps in (None, Captured(StandIn())):
        train.reports.clear()
        found = train.together(steps=steps)
        assert [same(*pair) for pair in zip(found, expected, strict=True)] == [True] * 3
        assert sorted(train.reports) == alone
    assert same(train.alone(2, Captured(StandIn())), expected[2])


class DrawsAsItLikes(BaseKind):
    """From the global generators of torch, Python and NumPy; draws on a device cannot be recorded."""

    capturable = False

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        return [torch.rand(shape)]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        noise = step.drawn[0] + random.random() + float(np.random.rand())
        return super().loss(network, [nn.functional.dropout(views[0] + noise)], labels, step)


def test_what_a_kind_draws_from_the_global_generators_depends_on_its_seed_alone(tiny: Protocol, tmp_path: Path) -> None:
    """A kind with dropout gave other bytes in every process. Neither what was drawn before nor who trains beside it changes them."""
    train = Training(tiny, tmp_path, DrawsAsItLikes(DrawsAsItLikes.Config()))
    expected = [train.alone(seed) for seed in SEEDS]
    torch.rand(7), random.random(), np.random.rand()
    assert [same(*pair) for pair in zip(train.together(), expected, strict=True)] == [True] * 3
    assert not same(expected[0], expected[1])


NOT_RECORDED = {"cosface"}  # how many pairs of images differ in class is another number in every step


@pytest.mark.parametrize("kind", base_kind_names())
def test_every_kind_is_recorded_or_says_why_not(kind: str, tiny: Protocol, tmp_path: Path) -> None:
    train, steps = Training(tiny, tmp_path, small_kind(kind), epochs=2), Captured(StandIn())
    if kind_of(kind).parent is not None:
        pytest.skip("goes on with another kind's network: test_together trains through both")
    found = train.together((0, 1), steps)
    assert same(found[1], train.alone(1))
    assert bool(steps.recordings) != bool(steps.reason)
    assert bool(steps.reason) == (kind in NOT_RECORDED), steps.reason


@pytest.mark.parametrize("kind", [Etf(Etf.Config(mix=True)), VirtualClasses(VirtualClasses.Config(start=1))], ids=["etf", "virtual"])
def test_what_a_step_draws_is_new_in_every_replay(kind: BaseKind, tiny: Protocol, tmp_path: Path) -> None:
    """`virtual` draws from the second epoch on, which is another recording."""
    train, steps = Training(tiny, tmp_path, kind, epochs=3), Captured(StandIn())
    found = train.together((0, 1), steps)
    assert (steps.reason, same(found[1], train.alone(1))) == ("", True)


def test_a_ragged_last_batch_is_one_more_recording(tiny: Protocol, tmp_path: Path) -> None:
    """However many epochs and rates there are; the first step of all is not replayed."""
    recorder = StandIn()
    Training(tiny, tmp_path, epochs=4).together(steps=Captured(recorder))
    assert (recorder.recorded, recorder.replayed) == (2, 4 * 3 - 1)


class ReadsStep(BaseKind):
    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        return super().loss(network, views, labels, step) * (1 + step.done)


class SaysNo(BaseKind):
    capturable = False


@pytest.mark.parametrize(("cls", "reason"), [(ReadsStep, "its loss reads step.done"), (SaysNo, "it says so")])
def test_a_step_that_no_recording_can_repeat_is_done_eagerly(cls: type[BaseKind], reason: str, tiny: Protocol, tmp_path: Path) -> None:
    train, steps = Training(tiny, tmp_path, cls(cls.Config())), Captured(StandIn())
    found = train.together((0, 1), steps)
    assert (steps.reason, steps.recordings) == (reason, 0)
    assert [same(*pair) for pair in zip(found, [train.alone(0), train.alone(1)], strict=True)] == [True, True]


class Wrong(StandIn):
    """Its recordings leave everything as it is."""

    def record(self, steps: Any) -> Recording:
        return Recording(lambda: None, [torch.zeros(()) for _ in steps])


def test_a_recording_that_does_something_else_is_not_used(tiny: Protocol, tmp_path: Path) -> None:
    train, steps = Training(tiny, tmp_path), Captured(Wrong())
    assert same(train.together((0, 1), steps)[1], train.alone(1))
    assert (steps.reason, steps.recordings) == ("a recorded step does something else than the same step done once", 0)


class Failing(StandIn):
    def record(self, steps: Any) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")


def test_a_recording_that_fails_leaves_no_trace(tiny: Protocol, tmp_path: Path) -> None:
    train, steps = Training(tiny, tmp_path), Captured(Failing())
    assert same(train.together((0, 1), steps)[1], train.alone(1))
    assert steps.reason == "CUDA error: operation not permitted when stream is capturing"


@pytest.mark.parametrize("recorded", [False, True])
def test_seeds_killed_at_different_epochs_end_with_the_same_bytes(
    recorded: bool, tiny: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes while the second of three seeds reports epoch 2: the first has stored it, the other two have not."""
    train = Training(tiny, tmp_path)
    expected = [train.alone(seed) for seed in SEEDS]
    monkeypatch.setattr(base_cache, "CHECKPOINT_SECONDS", 0.0)

    def killed(epoch: int, loss: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_together([train.of(0), train.of(1, killed), train.of(2)], CPU, Captured(StandIn()) if recorded else None)
    train.reports.clear()
    found = train.together(steps=Captured(StandIn()) if recorded else None)
    assert [same(*pair) for pair in zip(found, expected, strict=True)] == [True] * 3
    assert [(seed, epoch) for seed, epoch, _ in train.reports] == [(1, 2), (2, 2), (0, 3), (1, 3), (2, 3)]


class Diverges(BaseKind):
    """The loss is no number after as many steps as the network has lives."""

    def build(self, network: Network, sessions: Sessions) -> None:
        network.register_buffer("lives", torch.tensor(1000))

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        return torch.where(network.get_buffer("lives") > 0, super().loss(network, views, labels, step), torch.nan)

    def after_update(self, network: Network) -> None:
        network.get_buffer("lives").sub_(1)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_seed_that_diverges_does_not_stop_the_others(recorded: bool, tiny: Protocol, tmp_path: Path) -> None:
    train = Training(tiny, tmp_path, Diverges(Diverges.Config()))
    several = [train.of(seed) for seed in SEEDS]
    several[1].network.get_buffer("lives").fill_(4)
    errors = train_together(several, CPU, Captured(StandIn()) if recorded else None)
    assert [type(error) for error in errors] == [type(None), FloatingPointError, type(None)]
    assert "lower the recipe's lr" in str(errors[1])
    assert same(several[2].network.state_dict(), train.alone(2))


def test_a_rate_in_a_tensor_changes_in_place() -> None:
    weights = torch.nn.Parameter(torch.ones(3))
    optimizer = optimizer_for([{"params": [weights]}], Recipe(epochs=1, lr=0.1, optimizer="adam"), 0.1, CPU)
    make_capturable(optimizer, CPU)
    [group] = optimizer.param_groups
    rate = group["lr"]
    set_lr(group, 0.025)
    assert group["lr"] is rate
    assert float(rate) == pytest.approx(0.025)
