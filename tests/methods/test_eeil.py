"""EEIL and EEIL*: losses by hand, distillation head by head, the balanced phase, gradient noise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.running.runner import Contender
from methods.eeil import Eeil
from tests.methods.by_hand import Rows, label_loss, label_loss_of, plain, soft_loss
from tests.methods.runs import Enter, after_loss, batch_features, before_loss, train_all


@dataclass
class Step:
    """What one optimiser step saw."""

    session: int
    epoch: int
    rate: float
    labels: list[int]
    logits: Rows
    loss: float
    old: Rows  # logits of the batch under the network before the session
    phase_one: Rows  # logits of the batch under the network as the last epoch of phase one left it
    anchors: tuple[Rows, Rows]  # logits of the memory's plain images: old network, present one
    anchor_labels: list[int]


@dataclass
class Diary:
    """Trains an contender and notes every step."""

    contender: Contender
    steps: list[Step] = field(default_factory=list)

    def train(self, monkeypatch: pytest.MonkeyPatch, sessions: int = 3) -> list[Step]:
        original, finished = Eeil.session_loss, Eeil.finished
        left: dict[str | int, Any] = {}

        def session_loss(strategy: Any) -> Tensor:
            kept = self.contender.memory.indices
            images, kept_labels = plain(self.contender, kept), self.contender.seed_context.tensors.labels[kept].tolist()
            epoch = strategy.clock.train_exp_epochs
            with torch.no_grad():
                old = left["before"].classify(batch_features(left["before"], strategy)).tolist()
                phase_one = left[strategy.config.epochs - 1](strategy.mb_x).tolist() if epoch >= strategy.config.epochs else []
                anchors = left["before"](images).tolist(), copy.deepcopy(strategy.model)(images).tolist()
            loss = original(strategy)
            rate, value = strategy.optimizer.param_groups[0]["lr"], float(loss.detach())
            labels, logits = strategy.mb_y.tolist(), strategy.mb_output.tolist()
            self.steps.append(Step(strategy.session, epoch, rate, labels, logits, value, old, phase_one, anchors, kept_labels))
            return loss

        def after_epoch(strategy: Any) -> bool:
            left[strategy.clock.train_exp_epochs] = copy.deepcopy(strategy.model).eval()
            return finished(strategy)

        monkeypatch.setattr(Eeil, "session_loss", session_loss)
        monkeypatch.setattr(Eeil, "finished", after_epoch)
        for session in range(sessions):
            left["before"] = copy.deepcopy(self.contender.strategy.model).eval()
            self.contender.train(session, 0)
        return self.steps


@pytest.mark.parametrize("overrides", [[], ["anchor_weight=1.5", "distill_weight=0.8"]])
def test_topic_loss_is_icarls_and_a_little_cross_entropy_on_the_anchors(
    overrides: list[str], enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/methods.md 4.4: weight .004 (made visible by 1.5), T = 2 on the old slice (trap 16), shots alone in the batch."""
    contender = enter("eeil", *overrides)
    oce, kd = (1.5, 0.8) if overrides else (0.004, 1.0)
    steps = Diary(contender).train(monkeypatch)
    assert [(step.session, step.epoch) for step in steps] == [(s, e) for s in (1, 2) for e in range(3)], "no balanced phase"
    for step in steps:
        old, now = step.anchors
        assert len(step.labels) == 10
        expected = label_loss(step.logits, step.labels) + kd * soft_loss(now, old, 2.0) + oce * label_loss(now, step.anchor_labels)
        assert step.loss == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("distil", "anchor"), [(0.8, 0.0), (0.0, 1.5)])
def test_both_terms_on_the_anchors_train_the_head(distil: float, anchor: float, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less the shots' cross-entropy, the rows' gradient is weight (p - target)ᵀ unit features / n: at T = 2 against the old logits,
    halved and in old rows alone, or against the anchors' labels.
    """
    contender = train_all(enter("eeil", f"distill_weight={distil}", f"anchor_weight={anchor}"), 1)
    old = copy.deepcopy(contender.strategy.model).eval()
    least: list[float] = []

    def observe(strategy: Any, loss: Tensor) -> None:
        kept = contender.memory.indices
        with torch.no_grad():
            before, now = old(plain(contender, kept)), copy.deepcopy(strategy.model).embed(plain(contender, kept))
            directions = now / now.norm(dim=1, keepdim=True)
            logits = directions @ strategy.model.head.weight.T
        away = torch.zeros_like(logits)
        away[:, :6] += distil / 2 * ((logits[:, :6] / 2).softmax(1) - (before / 2).softmax(1))
        away += anchor * (logits.softmax(1) - torch.eye(8)[contender.seed_context.tensors.labels[kept]])
        less = loss - label_loss_of(strategy.mb_output, strategy.mb_y)
        (found,) = torch.autograd.grad(less, strategy.model.head.weight, retain_graph=True)
        assert torch.allclose(found, away.T @ directions / len(kept), rtol=1e-3, atol=1e-6)
        least.append(float(found[: 6 if distil else 8].norm(dim=1).min()))

    after_loss(monkeypatch, Eeil, observe)
    contender.train(1, 0)
    assert len(least) == 3
    assert min(least[1:]) > 1e-4, "every row"


def heads_loss(logits: Rows, teacher: Rows, cuts: list[int]) -> float:
    """A distillation of its own for the columns of every session."""
    pairs = zip([0, *cuts], cuts, strict=False)
    return sum(soft_loss([r[a:b] for r in logits], [r[a:b] for r in teacher], 2.0) for a, b in pairs)


def test_original_distils_head_by_head_with_a_teacher_for_either_phase(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phase one: old heads under the network before the session. Balanced: all heads under the network that phase one left."""
    steps = Diary(enter("eeil:original", "noise=0")).train(monkeypatch)
    assert [(step.session, step.epoch) for step in steps] == [(s, e) for s in (1, 2) for e in range(5)]
    for step in steps:
        cuts = [6, 8, 10][: step.session + 1]
        teacher, heads = (step.old, cuts[:-1]) if step.epoch < 3 else (step.phase_one, cuts)
        distilled = heads_loss(step.logits, teacher, heads)
        assert step.loss == pytest.approx(label_loss(step.logits, step.labels) + distilled, abs=1e-4), (step.session, step.epoch)


def test_heads_together_are_one_softmax(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Diary(enter("eeil:original", "noise=0", "distill_heads=together")).train(monkeypatch)
    for step in steps:
        teacher = step.old if step.epoch < 3 else step.phase_one
        assert step.loss == pytest.approx(label_loss(step.logits, step.labels) + soft_loss(step.logits, teacher, 2.0), abs=1e-4)


def test_balanced_phase_follows_with_equal_counts_and_a_tenth_of_the_rate(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `epochs`: only the memory, as many images a class, and the new classes' images that herding left out are gone."""
    contender = enter("eeil:original", "per_class=3", "lr=0.05", "balanced_lr=0.2")
    steps = Diary(contender).train(monkeypatch, sessions=2)
    counts = [torch.tensor(step.labels).bincount().tolist() for step in steps]
    assert counts == [[3] * 6 + [5] * 2] * 3 + [[3] * 8] * 2
    assert [step.rate for step in steps] == pytest.approx([0.05] * 3 + [0.01] * 2)


def test_balanced_phase_has_a_fresh_optimiser_and_goes_on_training(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 12 within a session: no momentum of phase one, the schedule counts anew, the network is in training mode."""
    contender = enter("eeil:original", "milestones=[2]")
    optimisers: list[Any] = []

    def observe(strategy: Any) -> None:
        assert strategy.model.training
        if strategy.optimizer not in optimisers:
            assert not strategy.optimizer.state, "momentum is left from another phase"
            optimisers.append(strategy.optimizer)
        assert strategy.optimizer.param_groups[0]["lr"] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01][strategy.clock.train_exp_epochs])

    before_loss(monkeypatch, Eeil, observe)
    train_all(contender)
    assert len(optimisers) == 4


def added_to_gradients(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What `_before_update` adds to all gradients, step by step, through session 1."""
    original: Callable[..., None] = Eeil._before_update
    added: list[Tensor] = []

    def before_update(strategy: Any, **kwargs: Any) -> None:
        before = [p.grad.clone() for p in strategy.model.parameters()]
        state = torch.get_rng_state()
        original(strategy, **kwargs)
        if not strategy.config.noise:
            assert torch.equal(torch.get_rng_state(), state), "no noise, yet something is drawn"
        added.append(torch.cat([(p.grad - b).flatten() for p, b in zip(strategy.model.parameters(), before, strict=True)]))

    monkeypatch.setattr(Eeil, "_before_update", before_update)
    train_all(contender, 2)
    return added


def test_noise_on_gradients_is_normal_and_fades(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard deviation eta / (1 + step)^.55 on every number of every gradient, steps counted from the session's start."""
    added = added_to_gradients(enter("eeil:original", "noise=0.3"), monkeypatch)
    assert len(added) == 5
    for noise, expected in zip(added, [0.3, 0.3 / 2**0.55, 0.3 / 3**0.55, 0.3 / 4**0.55, 0.3 / 5**0.55], strict=True):
        assert len(noise) > 30_000
        assert noise.std().item() == pytest.approx(expected, rel=0.02)
        assert abs(noise.mean().item()) < 0.02 * expected
        assert (noise.abs() < expected).float().mean().item() == pytest.approx(0.683, abs=0.01)  # a normal's share
    assert abs(torch.corrcoef(torch.stack(added[:2]))[0, 1].item()) < 0.03, "drawn anew in every step"


def test_without_noise_gradients_stay_as_they_are(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(bool(noise.any()) for noise in added_to_gradients(enter("eeil:original", "noise=0"), monkeypatch))


def test_noise_changes_the_run_and_is_off_by_default(enter: Enter) -> None:
    """FACIL leaves it off unless asked."""
    rows = []
    for noise in (0.0, 0.3):
        contender = train_all(enter("eeil:original", f"noise={noise}"), 2)
        rows.append(contender.strategy.model.head.weight.detach().clone())
    assert not torch.equal(rows[0], rows[1])
    assert all(Eeil.Config(**preset).noise == 0 for preset in Eeil.presets.values())


def test_a_session_that_ends_before_its_balanced_phase_keeps_exemplars_all_the_same(enter: Enter) -> None:
    """Selection val may find such a length."""
    contender = enter("eeil:original", "per_class=2", "balanced_epochs=6")
    for session, epochs in enumerate((None, 2, 20)):
        contender.strategy.fixed_epochs = epochs
        contender.train(session, 0)
        assert contender.seed_context.tensors.labels[contender.memory.indices].bincount().tolist() == [2] * (6 + 2 * session)


@pytest.mark.parametrize("images", [1, 2])
def test_exemplars_are_chosen_once_a_session(images: int, enter: Enter) -> None:
    """A second choice after the balanced phase would pick others beside them."""
    contender = enter("eeil:original", f"per_class={images}", "balanced_lr=1", "balanced_epochs=6")
    for session in range(3):
        contender.train(session, 0)
        assert contender.seed_context.tensors.labels[contender.memory.indices].bincount().tolist() == [images] * (6 + 2 * session)


def test_noise_leaves_alone_what_has_no_gradient(enter: Enter) -> None:
    """Rows that the head of a base does not read: its targets are fixed."""
    contender = train_all(enter("eeil:original@etf", "epochs=1", "balanced_epochs=1"), 2)
    assert contender.strategy.model.head.weight.grad is None
