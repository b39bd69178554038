"""LwF: what the warm-up trains, what is distilled, and by whom."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from benchmarks.base.features import state_sha256
from benchmarks.running.runner import Contender
from methods.lwf import Lwf
from methods.parts.losses import distillation
from tests.methods.by_hand import label_loss_of
from tests.methods.runs import Enter, after_loss, before_loss, train_all, train_under

OLD = 6  # base classes of the tiny protocol, and so the teacher's columns in session 1


def snapshot(strategy: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in strategy.model.state_dict().items()}


class Epochs(SupervisedPlugin):
    """State, optimiser and rate at the start of each epoch, and the state at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.start: list[dict[str, Tensor]] = []
        self.end: list[dict[str, Tensor]] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        self.momenta: list[int] = []
        self.rates: list[float] = []
        self.trained: list[set[str]] = []

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.start.append(snapshot(strategy))
        self.optimizers.append(strategy.optimizer)
        self.momenta.append(len(strategy.optimizer.state))
        self.rates.append(strategy.optimizer.param_groups[0]["lr"])
        chosen = {id(p) for group in strategy.optimizer.param_groups for p in group["params"]}
        named = dict(strategy.model.named_parameters())
        assert {name for name, p in named.items() if p.requires_grad} == {name for name, p in named.items() if id(p) in chosen}
        self.trained.append({name for name, p in named.items() if id(p) in chosen})

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.end.append(snapshot(strategy))


def watched_session(contender: Contender, session: int = 1) -> Epochs:
    """One session under watch, after those before it."""
    for earlier in range(session):
        contender.train(earlier, 0)
    return train_under(contender, session, Epochs())


def softened(logits: Tensor, temperature: float) -> Tensor:
    powers = (logits / temperature).exp()
    return powers / powers.sum(1, keepdim=True)


def test_distillation_by_hand() -> None:
    """T = 2, logits 2 ln 3 and 0: softened 3/4 and 1/4; against an even student ln 2, against a reversed one more."""
    teacher = torch.tensor([[2 * torch.tensor(3.0).log(), 0.0]])
    even = torch.tensor([[0.0, 0.0, 50.0]])
    assert distillation(even, teacher, 2.0).item() == pytest.approx(0.693147, abs=1e-5)
    reversed_ = torch.tensor([[0.0, 2 * torch.tensor(3.0).log(), -50.0]])
    expected = -(0.75 * torch.tensor(0.25).log() + 0.25 * torch.tensor(0.75).log())
    assert distillation(reversed_, teacher, 2.0).item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_loss_is_cross_entropy_and_distillation_of_the_old_slice_at_t_2(
    weight: float, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 16: new columns get nothing from the distillation. The teacher is the network as the last session left it."""
    contender = enter("lwf", f"distill_weight={weight}")
    contender.train(0, 0)
    teacher, losses = copy.deepcopy(contender.strategy.model).eval(), list[float]()

    def observe(strategy: Lwf, loss: Tensor) -> None:
        if strategy.warming_up:
            return
        z, y = strategy.mb_output, strategy.mb_y
        with torch.no_grad():
            old = teacher(strategy.mb_x)
        assert old.shape == (10, OLD)
        assert z.shape == (10, OLD + 2)
        own = label_loss_of(z, y)
        distilled = -(softened(old, 2.0) * softened(z[:, :OLD], 2.0).log()).sum(1).mean()
        assert loss.item() == pytest.approx((own + weight * distilled).item(), rel=1e-5)
        (gradient,) = torch.autograd.grad(loss - own, z, retain_graph=True)
        assert float(gradient[:, OLD:].abs().max()) < 1e-7
        assert float(gradient[:, :OLD].abs().max()) > 1e-4 or not losses, "at the first step student and teacher may agree"
        losses.append(loss.item())

    after_loss(monkeypatch, Lwf, observe)
    contender.train(1, 0)
    assert len(losses) == 3


def test_teacher_is_in_eval_mode_without_gradients_and_gone_afterwards(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher in training mode, as Avalanche's LwF leaves its own, distils from other statistics, and changes them."""
    seen: list[str] = []

    def observe(strategy: Lwf) -> None:
        assert not any(module.training for module in strategy.now.teacher.modules())
        assert not any(p.requires_grad for p in strategy.now.teacher.parameters())
        seen.append(state_sha256(strategy.now.teacher))

    before_loss(monkeypatch, Lwf, observe)
    contender = enter("lwf")
    for session in range(3):
        before = state_sha256(contender.strategy.model)
        contender.train(session, 0)
        assert set(seen) == ({before} if session else set())
        assert not hasattr(contender.strategy, "teacher")
        seen.clear()


@pytest.mark.parametrize("session", [1, 2])
def test_warm_up_trains_new_rows_only(session: int, enter: Enter) -> None:
    """docs/methods.md 6.10: new rows for an epoch, the rest frozen. Trap 13: weight decay and momentum move nothing else either.

    In session 2 too, though Avalanche's clock still counts session 1 when the optimiser is made.
    """
    contender = enter("lwf", "warmup_epochs=2", "weight_decay=0.1")
    spy = watched_session(contender, session)
    old = OLD + 2 * (session - 1)
    assert all(names == {"head.weight"} for names in spy.trained[:2])
    before, after = spy.start[0], spy.end[1]
    for name, _ in contender.strategy.model.named_parameters():
        if name != "head.weight":
            assert torch.equal(before[name], after[name]), name
    assert torch.equal(before["head.weight"][:old], after["head.weight"][:old])
    assert not torch.isclose(before["head.weight"][old:], after["head.weight"][old:]).all(1).any()
    end = spy.end[-1]
    assert not torch.equal(end["head.weight"][:old], after["head.weight"][:old]), "afterwards old rows train"
    assert not torch.equal(end["backbone.blocks.0.weight"], after["backbone.blocks.0.weight"]), "and the backbone"


@pytest.mark.parametrize("base", ["cosine", "projected", "rotations"])
def test_warm_up_leaves_old_logits_as_they_were(base: str, enter: Enter) -> None:
    """Where the head has a learned scale or attention, or reads what a layer makes of the features: the teacher is the network before."""
    contender = enter(f"lwf:mammoth@{base}", "warmup_epochs=3", "epochs=0")
    contender.train(0, 0)
    model, features = contender.strategy.model, torch.randn(20, contender.strategy.model.feature_dim)
    before = model.classify(features)
    contender.train(1, 0)
    torch.testing.assert_close(model.classify(features)[:, :OLD], before)  # a product with more rows rounds otherwise


def test_batch_norm_statistics_stay_through_the_warm_up(enter: Enter) -> None:
    """Trap 1, and docs/methods.md 6.10: all but the new rows is frozen while they warm up."""
    spy = watched_session(enter("lwf"))
    for name, value in spy.start[0].items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(spy.end[0][name], value), name
            assert not torch.equal(spy.end[-1][name], value), f"{name} should train after the warm-up"


@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_training_starts_anew_after_the_warm_up(warmup: int, enter: Enter) -> None:
    """Trap 12: another optimiser over all weights, without momentum, at the full rate and the start of its schedule."""
    spy = watched_session(enter("lwf", f"warmup_epochs={warmup}", "milestones=[2]"))
    assert len(spy.rates) == warmup + 3
    assert spy.rates == pytest.approx([0.1] * warmup + [0.1, 0.1, 0.01])
    assert spy.momenta[0] == spy.momenta[warmup] == 0
    assert all(count > 0 for epoch, count in enumerate(spy.momenta) if epoch not in (0, warmup))
    assert len({id(optimizer) for optimizer in spy.optimizers}) == (2 if warmup else 1)
    assert all(names == {"head.weight"} for names in spy.trained[:warmup])
    assert all(len(names) == 7 for names in spy.trained[warmup:])  # two convolutions, two batch norms, the head


def test_warm_up_loss_is_among_the_sessions_own_classes(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def observe(strategy: Lwf, loss: Tensor) -> None:
        if strategy.warming_up:
            old = OLD + 2 * (strategy.session - 1)
            chosen = softened(strategy.mb_output[:, old:], 1.0)
            assert chosen.shape == (10, 2)
            assert set(strategy.mb_y.tolist()) == {old, old + 1}
            first, second = (-chosen[strategy.mb_y == old + k, k].log() for k in (0, 1))
            assert loss.item() == pytest.approx(torch.cat([first, second]).mean().item(), rel=1e-5)
            losses.append(loss.item())

    after_loss(monkeypatch, Lwf, observe)
    train_all(enter("lwf", "warmup_epochs=2"))
    assert len(losses) == 4  # two sessions of two epochs
    assert losses[1] < losses[0]


def test_the_warm_up_is_part_of_the_length_that_is_found(enter: Enter) -> None:
    """One epoch of each: whatever a fold says, the one that is not warm-up is trained."""
    contender = enter("lwf", "selection=val", "epochs=1")
    for session in range(2):
        contender.train(session, 0)
    assert contender.strategy.fixed_epochs == 2


def test_without_warm_up_and_distillation_it_is_fine_tuning(enter: Enter) -> None:
    """The same bytes as Ft-CNN; either part alone changes them."""

    def end(variant: str, *overrides: str) -> str:
        contender = enter(variant, *overrides, "epochs=3", "new_row_std=null")
        return state_sha256(train_all(contender).strategy.model)

    plain = end("ft_cnn")
    assert end("lwf", "warmup_epochs=0", "distill_weight=0") == plain
    assert end("lwf", "warmup_epochs=0") != plain
    assert end("lwf", "distill_weight=0") != plain
