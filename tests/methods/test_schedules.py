"""The learning rate over a training: bits that stay, torch's own schedulers beside ours, and phases of sessions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from methods.contract import TrainConfig
from methods.parts.schedules import learning_rate
from protocols.schema import BaseRecipe
from tests.methods.runs import Enter, train_under


def base_rates(steps: int, **settings: Any) -> list[float]:
    recipe = BaseRecipe.model_validate(settings)
    return [learning_rate(recipe, step, steps, recipe.gamma) for step in range(recipe.epochs * steps)]


def session_rates(steps: int, **settings: Any) -> list[float]:
    config = TrainConfig.model_validate(settings)
    return [learning_rate(config, step, steps, config.lr_decay, products=True) for step in range(config.epochs * steps)]


def torchs(scheduler: type[Any], lr: float, count: int, *arguments: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    course, rates = scheduler(optimizer, *arguments), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    return rates


def test_the_bits_of_one_cycle_stay() -> None:
    """Records were made with these rates."""
    rates = base_rates(7, epochs=20, lr=0.1, schedule="onecycle", warmup=0.3)
    assert {step: rates[step].hex() for step in (0, 1, 41, 42, 100, 139)} == {
        0: "0x1.0624dd2f1a9fcp-8",
        1: "0x1.9d04abadaade4p-8",
        41: "0x1.92ffcef7434a2p-4",
        42: "0x1.98564ca193f65p-4",
        100: "0x1.485b02a54ea7ap-5",
        139: "0x1.ad7f29abccccdp-22",
    }


def test_the_bits_of_steps_stay() -> None:
    """The base multiplies by a power, sessions by one factor after the other as MultiStepLR does: their last bits differ."""
    stones: tuple[int, ...] = (2, 4, 4)
    lr, decay = 0.3, 0.1
    assert lr * decay * decay**2 != lr * decay**3
    assert base_rates(3, epochs=5, lr=lr, gamma=decay, milestones=stones)[::3] == [lr, lr, lr * decay, lr * decay, lr * decay**3]
    for lr, decay, stones in [(0.3, 0.1, (4, 2, 4)), (0.1, 0.1, (2, 4)), (0.05, 0.3, (1, 2, 3)), (0.07, 0.25, (9,))]:
        ours = session_rates(3, epochs=6, lr=lr, lr_decay=decay, milestones=stones)
        assert ours[::3] == ours[2::3] == torchs(MultiStepLR, lr, 6, stones, decay)


@pytest.mark.parametrize("floor", [0.0, 0.01, 1.0])
def test_cosine_is_torchs_and_falls_to_its_floor(floor: float) -> None:
    settings = {"epochs": 5, "lr": 0.25, "schedule": "cosine", "floor": floor}
    expected = pytest.approx(torchs(CosineAnnealingLR, 0.25, 35, 35, 0.25 * floor))
    assert base_rates(7, **settings) == expected
    assert session_rates(7, **settings) == expected
    config = TrainConfig.model_validate(settings)
    for step in (35, 1000):  # behind the end it stays there
        assert learning_rate(config, step, 7, 0.1) == pytest.approx(0.25 * floor)


def test_a_ramp_is_a_factor_on_the_schedule() -> None:
    """mmcv's: from .1 to 1 over NC-FSCIL's 100 iterations, 12.5 epochs of 8, while the cosine has begun."""
    plain = {"epochs": 50, "lr": 0.25, "schedule": "cosine", "floor": 0.01}
    cosine, ramped = base_rates(8, **plain), base_rates(8, **plain, ramp_epochs=12.5)
    for step, rate in enumerate(ramped):
        assert rate == pytest.approx(cosine[step] * (1 - (1 - min(step, 100) / 100) * 0.9))
    assert ramped[100:] == cosine[100:]
    assert session_rates(2, epochs=4, lr=1.0, ramp_epochs=2, ramp_from=0.0, milestones=[3], lr_decay=0.5) == [
        0,
        0.25,
        0.5,
        0.75,
        1,
        1,
        0.5,
        0.5,
    ]
    assert session_rates(1, epochs=3, lr=1.0, ramp_epochs=2, schedule="constant") == pytest.approx([0.1, 0.55, 1])


@pytest.mark.parametrize("schedule", ["step", "onecycle", "cosine", "constant"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1)])
def test_the_shortest_training_has_a_rate(schedule: str, epochs: int, steps: int) -> None:
    rates = base_rates(steps, epochs=epochs, lr=0.1, schedule=schedule)
    assert all(math.isfinite(rate) and 0 < rate <= 0.1 for rate in rates)


class Rates(SupervisedPlugin):
    """The learning rates of all groups, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[float]] = []

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        self.seen.append([group["lr"] for group in strategy.optimizer.param_groups])


@pytest.mark.parametrize(
    ("variant", "overrides", "phases"),
    [
        ("ft_cnn", ["epochs=4", "batch=4"], [(0.1, 12)]),  # ten shots: three batches an epoch
        ("lecnet", ["epochs=4", "lr=0.2"], [(0.2, 4)]),  # two groups
        ("lwf", ["epochs=3", "warmup_epochs=2"], [(0.1, 2), (0.1, 3)]),
        ("lwf", ["epochs=3", "warmup_epochs=0"], [(0.1, 3)]),
        ("eeil:original", ["epochs=3", "balanced_epochs=2", "milestones=[]"], [(0.1, 3), (0.01, 2)]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_phase_of_a_session_runs_the_whole_schedule(
    variant: str, overrides: list[str], phases: list[tuple[float, int]], enter: Enter
) -> None:
    """In every session anew."""
    contender = enter(variant, "schedule=cosine", "floor=0.2", *overrides)
    contender.train(0, 0)
    for session in (1, 2):
        seen = train_under(contender, session, Rates()).seen
        expected = [rate for lr, steps in phases for rate in torchs(CosineAnnealingLR, lr, steps, steps, 0.2 * lr)]
        assert len(seen) == len(expected)
        for rates, rate in zip(seen, expected, strict=True):
            assert rates == pytest.approx([rate] * len(rates))


@pytest.mark.parametrize("overrides", [["optimizer=adam"], ["nesterov=false", "dampening=0.9"]], ids=str)
def test_a_session_trains_as_torchs_optimiser_does(overrides: list[str], enter: Enter) -> None:
    """Steps along the gradients that were: parameters end where torch's own optimiser puts them."""
    contender = enter("ft_cnn", "epochs=3", "lr=0.01", *overrides)
    contender.train(0, 0)
    own: list[Any] = []

    class Beside(SupervisedPlugin):
        def before_update(self, strategy: Any, **kwargs: Any) -> None:
            live = list(strategy.model.parameters())
            if not own:
                copies = [torch.nn.Parameter(p.detach().clone()) for p in live]
                adam = torch.optim.Adam(copies, lr=0.01, weight_decay=5e-4)
                sgd = torch.optim.SGD(copies, lr=0.01, momentum=0.9, dampening=0.9, weight_decay=5e-4)
                own.extend([copies, adam if "optimizer=adam" in overrides else sgd])
            for copy, parameter in zip(own[0], live, strict=True):
                copy.grad = parameter.grad.clone()
            own[1].step()

    train_under(contender, 1, Beside())
    for copy, parameter in zip(own[0], contender.strategy.model.parameters(), strict=True):
        assert torch.equal(copy, parameter)
