"""SI: the path integral against one that the test keeps itself, the pull towards old weights, the base model that carries it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.base import cache as base_cache
from benchmarks.base import model as base_model
from benchmarks.base.cache import Checkpoint, cached_base
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Transform
from benchmarks.running.measuring import count_parameters
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.parts.network import Network
from methods.parts.path_integral import PathIntegral, regrown
from protocols.schema import Augment, Data, Protocol, Recipe
from tests.methods.runs import Enter, Run, identity_of, train_all, train_under

XI = 0.9


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().clone().flatten() for t in tensors])


class Steps(SupervisedPlugin):
    """Each step of a session as the loop shows it: the task's gradient, the gradient that is applied, values before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.task: list[Tensor] = []
        self.applied: list[Tensor] = []
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []
        self.importance = torch.empty(0)

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.importance = strategy.model.importance.clone()

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.task.append(flat(p.grad for p in strategy.model.parameters()))
        self.before.append(flat(strategy.model.parameters()))

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        self.applied.append(flat(p.grad for p in strategy.model.parameters()))

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        self.after.append(flat(strategy.model.parameters()))

    def integral(self) -> Tensor:
        """Sum over steps of gradient times what the step took away."""
        return sum((g * (b - a) for g, b, a in zip(self.task, self.before, self.after, strict=True)), torch.zeros(()))


def test_quadratic_problem_by_hand() -> None:
    """L = theta² / 2 from 1 at rate 1/2: 1 -> 1/2 -> 1/4, so omega is 1 * 1/2 + 1/2 * 1/4, over (3/4)² + .9."""
    theta = nn.Parameter(torch.tensor([1.0]))
    path = PathIntegral([theta])
    for _ in range(2):
        (theta.grad,) = torch.autograd.grad((theta**2 / 2).sum(), theta)
        path.note_gradient([theta])
        theta.data -= 0.5 * theta.grad
        path.note_step([theta])
    assert path.omega.item() == pytest.approx(0.625)
    assert path.importance([theta], 0.9).item() == pytest.approx(0.625 / (0.5625 + 0.9))


def test_a_step_that_raised_the_loss_makes_nothing_important() -> None:
    """Against the gradient omega is negative; a negative importance would push away. Nor does one without gradient."""
    theta, unused = nn.Parameter(torch.tensor([1.0, 1.0])), nn.Parameter(torch.ones(1))
    path = PathIntegral([unused, theta])
    theta.grad = torch.tensor([2.0, 2.0])
    path.note_gradient([unused, theta])
    theta.data += torch.tensor([0.5, -0.5])
    unused.data -= 1
    path.note_step([unused, theta])
    assert path.omega.tolist() == pytest.approx([0.0, -1.0, 1.0])
    assert path.importance([unused, theta], 0.75).tolist() == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize("count", [1, 3])
def test_noted_values_are_copies_of_live_weights(count: int) -> None:
    """Avalanche's fault: a view of the live parameter makes every step look like none."""
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(count)]
    path = PathIntegral(parameters)
    for parameter in parameters:
        parameter.grad = torch.full((2,), 3.0)
    path.note_gradient(parameters)
    for parameter in parameters:
        parameter.data.sub_(0.5)
        assert parameter.grad is not None
        parameter.grad.zero_()
    assert path.start.tolist() == path.before.tolist() == [1.0] * 2 * count
    assert path.gradient.tolist() == [3.0] * 2 * count
    path.note_step(parameters)
    assert path.omega.tolist() == [1.5] * 2 * count


def test_regrown_keeps_every_number_with_its_parameter() -> None:
    """A head [2, 2] with bias [2] grows by a row; what stands behind it in the flat vector must move along."""
    now = [nn.Parameter(torch.zeros(shape)) for shape in ((2,), (3, 2), (3,), (1,))]
    flat_old = torch.arange(1.0, 10.0)  # 2 + 4 + 2 + 1 numbers
    expected = [1, 2, *(3, 4, 5, 6, 0, 0), *(7, 8, 0), 9]
    assert regrown(flat_old, [2, 4, 2, 1], now).tolist() == expected


def test_importance_is_the_direct_path_integral(enter: Enter) -> None:
    """Of the task's loss alone, not of the pull, and counted from the session's own start."""
    contender = enter("si", "c=50", "clip=0.05")
    contender.train(0, 0)
    for session in (1, 2):
        spy = train_under(contender, session, Steps())
        assert len(spy.task) == 3
        way = spy.after[-1] - spy.before[0]
        expected = spy.importance + spy.integral().clamp(min=0) / (way**2 + XI)
        importance = contender.strategy.model.importance
        assert torch.allclose(importance, expected, rtol=1e-4, atol=1e-10)
        gained = importance - spy.importance
        assert float(gained.min()) >= 0
        assert float((gained > 0).float().mean()) > 0.1


def test_gradient_is_pulled_to_old_weights_and_clipped_by_value(enter: Enter) -> None:
    """grad + 2 c Omega (theta - theta*), then into [-clip, clip] value by value (docs/methods.md 6.10)."""
    c, clip = 50.0, 0.02
    contender = enter("si", f"c={c}", f"clip={clip}")
    train_all(contender, 2)
    spy = train_under(contender, 2, Steps())
    assert torch.equal(spy.applied[0], spy.task[0].clamp(-clip, clip)), "at the start there is nothing to pull"
    for task, applied, now in zip(spy.task, spy.applied, spy.before, strict=True):
        pull = 2 * c * spy.importance * (now - spy.before[0])
        assert torch.allclose(applied, (task + pull).clamp(-clip, clip), rtol=1e-4, atol=1e-8)
        assert float((applied.abs() == clip).float().mean()) > 1e-3, "nothing is clipped: choose a smaller clip"
    assert float((pull.abs() / (task.abs() + 1e-6)).max()) > 0.1, "the pull is too weak to be seen: choose a larger c"


def test_new_rows_begin_without_importance_and_old_ones_keep_theirs(enter: Enter) -> None:
    contender = enter("si")
    contender.train(0, 0)
    model = contender.strategy.model
    names = [name for name, _ in model.named_parameters()]
    old = dict(zip(names, model.importance.split([p.numel() for p in model.parameters()]), strict=True))
    spy = train_under(contender, 1, Steps())
    new = dict(zip(names, spy.importance.split([p.numel() for p in model.parameters()]), strict=True))
    for name in names:
        size = old[name].numel()
        assert torch.equal(new[name][:size], old[name]), name
        assert not new[name][size:].any(), name
    assert len(new["head.weight"]) - len(old["head.weight"]) == 2 * 64


def test_without_a_pull_it_is_fine_tuning_with_clipping(enter: Enter) -> None:
    """c = 0 and a clip that never acts: the same bytes as Ft-CNN; with c they part."""
    same = ["epochs=3", "lr=0.01", "new_row_std=null"]
    models = [
        enter("ft_cnn", *same),
        enter("si", *same, "c=0", "clip=1000000.0"),
        enter("si", *same, "c=1000", "clip=1000000.0"),
    ]
    weights = []
    for contender in models:
        weights.append(flat(train_all(contender).strategy.model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_everything_si_carries_is_counted(tiny: Protocol, run: Run) -> None:
    """Trap 8: omega, start and importance are three numbers a weight; the two new rows come on top."""
    record = run("si")
    base = count_parameters(build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0))
    assert [s.parameters_added for s in record.sessions] == [3 * (base + t * 2 * 64) + t * 2 * 64 for t in range(3)]


def test_base_with_a_path_has_the_same_weights_as_the_shared_one(tiny: Protocol, enter: Enter) -> None:
    shared = enter("ft_cnn").strategy.model.state_dict()
    with_path = enter("si").strategy.model.state_dict()
    assert with_path.keys() - shared.keys() == {"parts.path.omega", "parts.path.start", "importance"}
    assert all(torch.equal(with_path[name], value) for name, value in shared.items())
    untrained = build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0)
    assert torch.equal(with_path["parts.path.start"], flat(untrained.parameters()))


KEY = BaseKey({"what": "a test of SI's base"})


def fresh(tiny: Protocol) -> Network:
    return build_network(tiny, kind_of("path"), "fp32", 0, None, 1.0)


def train(network: Network, checkpoint: Checkpoint, stop_after: int | None = None) -> None:
    images = torch.randint(0, 256, (48, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    transform = Transform(Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,)), Augment(pad=1))
    batches = Batches(images, torch.arange(48) % 6, torch.arange(48), transform, 16, 0, "base")

    def report(epoch: int, loss: float) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    recipe = Recipe(epochs=4, batch=16, lr=0.1, schedule="onecycle")
    train_base(network, kind_of("path"), batches, recipe, torch.device("cpu"), checkpoint, report)


@contextmanager
def every_step(record: list[tuple[Tensor, Tensor, Tensor]]) -> Iterator[None]:
    """Gradients, values before and values after of all optimiser steps, by torch's own hooks."""

    def values(optimizer: Any) -> Tensor:
        return flat(p for group in optimizer.param_groups for p in group["params"])

    def before(optimizer: Any, *_: Any) -> None:
        gradient = flat(p.grad for group in optimizer.param_groups for p in group["params"])
        record.append((gradient, values(optimizer), torch.empty(0)))

    def after(optimizer: Any, *_: Any) -> None:
        record[-1] = (*record[-1][:2], values(optimizer))

    handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def test_base_training_keeps_the_direct_path_integral_and_session_0_takes_it_over(
    tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both when the base was just trained and when it came from the cache."""
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    runner, identity = Runner(tiny, settings), identity_of(tiny, "si")
    with every_step(steps):
        first = runner.enter(identity).strategy.model
    assert len(steps) > 10
    omega = sum((g.double() * (b.double() - a.double()) for g, b, a in steps), torch.zeros(()).double())
    assert torch.allclose(first.parts["path"].omega.double(), omega, rtol=1e-3, atol=1e-7)
    monkeypatch.setattr(base_model, "train_together", None)  # a second training would fail
    contender = Runner(tiny, settings).enter(identity)
    assert torch.equal(contender.strategy.model.parts["path"].omega, first.parts["path"].omega)
    contender.train(0, 0)
    expected = omega.clamp(min=0) / ((steps[-1][2] - steps[0][1]).double() ** 2 + XI)
    importance = contender.strategy.model.importance
    assert torch.allclose(importance.double(), expected, rtol=1e-3, atol=1e-7)
    assert float((importance > 0).float().mean()) > 0.3


def test_interrupted_base_training_resumes_to_the_same_path(tiny: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cached_base(tmp_path / "a", KEY, lambda: fresh(tiny), train)
    monkeypatch.setattr(base_cache, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cached_base(tmp_path / "b", KEY, lambda: fresh(tiny), lambda n, c: train(n, c, stop_after=3))
    resumed = cached_base(tmp_path / "b", KEY, lambda: fresh(tiny), train)
    assert float(whole["parts.path.omega"].abs().max()) > 0
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
