"""The plumbing under every method: Avalanche's hooks, optimiser, gradients, batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin

from benchmarks.base.features import state_sha256
from benchmarks.running.runner import Contender
from methods.contract.loading import load_method
from tests.methods.by_hand import plain, rows_of
from tests.methods.runs import Enter, Optimizers, train_all, train_under


@pytest.fixture
def contender(enter: Enter) -> Contender:
    return enter("ft_cnn", "lr=0.05")


class CountingPlugin(SupervisedPlugin):
    """Counts the hooks that fire."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.calls["experience"] += 1

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.calls["epoch"] += 1

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.calls["iteration"] += 1


class Ink(SupervisedPlugin):
    """Sum of the pixels of each image of the last batch, in ascending order."""

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.sums = sorted(strategy.mb_x.sum(dim=(1, 2, 3)).tolist())


def test_avalanche_plugins_attach(contender: Contender) -> None:
    plugin = CountingPlugin()
    strategy = load_method("ft_cnn")(context=contender.strategy.context, config=contender.strategy.config, plugins=[plugin])
    train_all(replace(contender, strategy=strategy))
    assert plugin.calls == {"experience": 3, "epoch": 6, "iteration": 6}  # session 0 is adopted in zero epochs


def test_a_new_optimiser_every_session(contender: Contender) -> None:
    """Trap 12: momentum and schedule start anew."""
    contender.train(0, 0)
    first = train_under(contender, 1, Optimizers()).last
    assert any("momentum_buffer" in state for state in first.state.values())
    assert not contender.strategy.optimizer.state, "it dies with its session"
    second = train_under(contender, 2, Optimizers()).last
    assert second is not first
    chosen = {id(p) for group in second.param_groups for p in group["params"]}
    assert chosen == {id(p) for p in contender.strategy.model.parameters()}
    assert second.param_groups[0]["lr"] == 0.05


def test_model_is_in_evaluation_mode_after_a_session(contender: Contender) -> None:
    for session in range(2):
        contender.train(session, 0)
        assert not any(module.training for module in contender.strategy.model.modules())


def test_milestones_lower_the_rate(enter: Enter) -> None:
    contender = train_all(enter("ft_cnn", "epochs=4", "milestones=[2]", "lr=0.1"), 1)
    assert train_under(contender, 1, Optimizers()).last.param_groups[0]["lr"] == pytest.approx(0.01)


def test_joint_keeps_all_images_and_trains_on_them(enter: Enter) -> None:
    contender = enter("joint_cnn")
    sizes = [len(rows) for rows in contender.seed_context.split.train]
    for session in range(3):
        contender.train(session, 0)
        assert len(contender.memory.indices) == sum(sizes[: session + 1])


def test_proto_rows_are_class_means_of_unaugmented_features(enter: Enter) -> None:
    """Trap 11, and docs/methods.md 10, no. 9: raw means under the test transform in evaluation mode, base rows replaced too."""
    contender = train_all(enter("proto"), 2)
    model = contender.strategy.model
    for label in (0, 5, 6, 7):
        rows = rows_of(contender, 0 if label < 6 else 1, label)
        with torch.no_grad():
            expected = model.backbone(plain(contender, rows)).mean(0)
        assert torch.allclose(model.head.weight[label], expected, atol=1e-5)


def test_a_method_may_augment_its_sessions_in_its_own_way(enter: Enter) -> None:
    """The protocol pads by one. Without any augmentation a batch holds the images as tests see them; the base does not change."""
    bases, ink = [], []
    for overrides in ([], ["augment={pad: 0}"]):
        contender = enter("ft_cnn", "epochs=1", *overrides)
        bases.append(state_sha256(contender.strategy.model))
        contender.train(0, 0)
        ink.append(train_under(contender, 1, Ink()).sums)
        ink.append(sorted(plain(contender, torch.from_numpy(contender.seed_context.split.train[1])).sum(dim=(1, 2, 3)).tolist()))
    assert bases[0] == bases[1]
    assert ink[0] != pytest.approx(ink[1], abs=1e-4)
    assert ink[2] == pytest.approx(ink[3], abs=1e-4)


def test_a_group_has_the_settings_weight_decay_and_no_other_keys(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch would take 0 where a group states none, and keep a key of another name without effect."""
    strategy = (contender := enter("ft_cnn", "weight_decay=0.25")).strategy
    contender.train(0, 0)
    own = {"lr": 0.01, "weight_decay": 0.0}
    monkeypatch.setattr(strategy, "parameter_groups", lambda chosen: [{"params": chosen[:1]}, {"params": chosen[1:], **own}])
    groups = train_under(contender, 1, Optimizers()).last.param_groups
    assert [(group["weight_decay"], group["lr"]) for group in groups] == [(0.25, strategy.config.lr), (0.0, 0.01)]
    monkeypatch.setattr(strategy, "parameter_groups", lambda chosen: [{"params": chosen, "rate": 0.1}])
    with pytest.raises(ValueError, match=r"has params, weight_decay and lr, but no 'rate'"):
        contender.train(2, 0)


def test_a_session_without_images_is_refused(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    contender.train(0, 0)
    monkeypatch.setattr(contender.strategy, "session_indices", lambda: torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="session_indices: no image to train on"):
        contender.train(1, 0)


def test_what_runs_as_a_frozen_part_keeps_its_batch_norm(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on images of many steps at once: in training mode each image's outputs would depend on those beside it."""
    contender = enter("ft_cnn", "batch_norm=train")
    strategy = contender.strategy
    monkeypatch.setattr(strategy, "trained_part", lambda: "last_block")
    contender.train(0, 0)
    last = {id(buffer) for buffer in strategy.model.backbone.last_block.buffers()}
    buffers = {name: buffer.clone() for name, buffer in strategy.model.backbone.named_buffers()}
    contender.train(1, 0)
    moved = {id(buffer) in last for name, buffer in strategy.model.backbone.named_buffers() if not buffer.equal(buffers[name])}
    assert moved == {True}


class Phases(SupervisedPlugin):
    """The length that the schedule of each phase was told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.now.phase_epochs not in self.told:
            self.told.append(strategy.now.phase_epochs)


@pytest.mark.parametrize("fixed", [None, 4])
def test_a_phase_keeps_the_schedule_under_which_its_length_was_found(fixed: int | None, enter: Enter) -> None:
    """Under selection val a session ends early; LwF's second phase was told the rest of the shorter one."""
    contender = enter("lwf", "epochs=6", "schedule=cosine", "milestones=[]")
    contender.train(0, 0)
    contender.strategy.fixed_epochs = fixed
    assert train_under(contender, 1, Phases()).told == [contender.strategy.first_phase_epochs(), 6]
