"""Joint-CNN: where each session starts from, and how its two ways of balancing weigh the classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from benchmarks.running.images import SessionImages
from benchmarks.running.runner import Contender
from methods.joint_cnn import JointCnn
from tests.methods.by_hand import label_loss_of
from tests.methods.runs import Enter, Optimizers, after_loss, train_all, train_under


def state_of(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


class FirstStep(SupervisedPlugin):
    """State before the first step of a session, and whether the model was in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, Tensor] = {}

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        assert strategy.model.training
        self.state = self.state or state_of(strategy.model)


def first_states(contender: Contender) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """For sessions 1 and 2: the state as the session before left it, and the state at the session's first step."""
    states = []
    contender.train(0, 0)
    for session in (1, 2):
        before = state_of(contender.strategy.model)
        states.append((before, train_under(contender, session, FirstStep()).state))
    return states


def counts_until(contender: Contender, session: int) -> list[int]:
    """Images of each class seen, counted on the split."""
    rows = torch.cat([torch.from_numpy(rows) for rows in contender.seed_context.split.train[: session + 1]])
    labels = contender.seed_context.tensors.labels[rows].tolist()
    return [labels.count(label) for label in range(6 + 2 * session)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The rows of which each session has its batches made."""
    asked: list[Tensor] = []
    batches = SessionImages.batches

    def spy(self: SessionImages, rows: Tensor, batch: int, name: str, **rest: Any) -> Any:
        asked.append(rows.clone())
        return batches(self, rows, batch, name, **rest)

    monkeypatch.setattr(SessionImages, "batches", spy)
    return asked


def test_topic_starts_from_where_the_last_session_ended(enter: Enter) -> None:
    """docs/methods.md 4.2: warm start; new rows are N(0, .001²) beside untouched old ones."""
    for before, first in first_states(enter("joint_cnn:topic")):
        assert before.keys() == first.keys()
        for name, value in before.items():
            assert torch.equal(first[name][: len(value)] if name == "head.weight" else first[name], value), name
        assert len(first["head.weight"]) == len(before["head.weight"]) + 2
        new = first["head.weight"][-2:]
        assert 0.0005 < float(new.std()) < 0.002


@pytest.mark.parametrize(("balance", "base"), [("loss", ""), ("sampling", ""), ("none", ""), ("none", "@projected"), ("none", "@path")])
def test_from_scratch_starts_every_session_from_the_untrained_network(balance: str, base: str, enter: Enter) -> None:
    """Backbone, statistics, neck, parts and base rows are those of context.untrained_network(); new rows are as long as base rows on
    average."""
    contender = enter(f"joint_cnn:balanced{base}", f"balance={balance}")
    fresh = contender.strategy.context.untrained_network().state_dict()
    for session, (before, first) in enumerate(first_states(contender), start=1):
        assert fresh.keys() == first.keys()
        for name, value in fresh.items():
            assert torch.equal(first[name][: len(value)], value) if value.dim() else torch.equal(first[name], value), name
        assert not torch.equal(first["backbone.blocks.0.weight"], before["backbone.blocks.0.weight"])
        assert not torch.equal(first["backbone.blocks.1.running_mean"], before["backbone.blocks.1.running_mean"])
        rows = first["head.weight"]
        assert len(rows) == 6 + 2 * session
        lengths = rows.norm(dim=1)
        assert lengths[6:].mean().item() == pytest.approx(lengths[:6].mean().item(), rel=1e-4)
        assert not torch.equal(rows[6:8], before["head.weight"][6:8]), "rows of an earlier session begin anew too"
        assert len({tuple(row) for row in rows.tolist()}) == len(rows)


def test_from_scratch_trains_what_it_reset(enter: Enter) -> None:
    """The optimiser holds the head that was put in, not the one thrown away."""
    contender = enter("joint_cnn:balanced")
    fresh = contender.strategy.context.untrained_network().state_dict()
    contender.train(0, 0)
    strategy, spy = contender.strategy, train_under(contender, 1, Optimizers())
    chosen = {id(p) for group in spy.last.param_groups for p in group["params"]}
    assert chosen == {id(p) for p in strategy.model.parameters()}
    assert not torch.isclose(strategy.model.head.weight[:6], fresh["head.weight"], atol=1e-4).all(1).any()


def test_balanced_softmax_by_hand(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ren et al., Eq. 4: -log(n_y e^z_y / sum n_c e^z_c) with n_c the training images of class c, shots and base alike."""
    sessions: list[int] = []

    def observe(strategy: JointCnn, loss: Tensor) -> None:
        n = torch.tensor(counts_until(contender, strategy.session), dtype=torch.float32)
        assert n[6:].tolist() == [5.0] * (2 * strategy.session)
        assert float(n[:6].min()) > 50
        powers = n * strategy.mb_output.exp()
        chosen = powers[torch.arange(len(strategy.mb_y)), strategy.mb_y] / powers.sum(1)
        assert loss.item() == pytest.approx(-chosen.log().mean().item(), rel=1e-4)
        sessions.append(strategy.session)

    after_loss(monkeypatch, JointCnn, observe)
    contender = enter("joint_cnn:balanced", "balance=loss")
    train_all(contender)
    images = [sum(counts_until(contender, session)) for session in (1, 2)]
    assert [sessions.count(session) for session in (1, 2)] == [2 * math.ceil(count / 128) for count in images]


@pytest.mark.parametrize("variant", ["topic", "sampling"])
def test_plain_cross_entropy_where_the_loss_does_not_balance(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[Tensor] = []

    def observe(strategy: JointCnn, loss: Tensor) -> None:
        assert loss.item() == pytest.approx(label_loss_of(strategy.mb_output, strategy.mb_y).item(), rel=1e-5)
        losses.append(loss)

    after_loss(monkeypatch, JointCnn, observe)
    overrides = {"topic": (), "sampling": ("balance=sampling", "from_scratch=true")}[variant]
    contender = enter("joint_cnn", *overrides)
    train_all(contender, 2)
    assert losses


def test_sampling_shows_every_class_about_as_often(enter: Enter, asked: list[Tensor]) -> None:
    """An image stands for max n / n_c of its class, to the nearest whole number; every image of a class equally often."""
    contender = enter("joint_cnn", "balance=sampling")
    train_all(contender)
    assert len(asked) == 2
    for session, rows in enumerate(asked, start=1):
        labels, own = contender.seed_context.tensors.labels, counts_until(contender, session)
        shown = torch.bincount(labels[rows], minlength=len(own)).tolist()
        for n, count in zip(own, shown, strict=True):
            assert abs(count - max(own)) <= n / 2
            assert count % n == 0
        assert min(shown[6:]) > 20 * 5 - 5, "shots are repeated"
        times = torch.unique(rows, return_counts=True)[1]
        assert len(times) == sum(own), "no image is left out"
        assert sorted(times.tolist()) == sorted(count // n for n, count in zip(own, shown, strict=True) for _ in range(n))


def test_unbalanced_training_shows_every_image_once(enter: Enter, asked: list[Tensor]) -> None:
    """Also where the loss balances: base images and shots in one epoch, each once."""
    for balance in ("none", "loss"):
        asked.clear()
        contender = enter("joint_cnn:topic", f"balance={balance}")
        train_all(contender)
        split = contender.seed_context.split.train
        for session, rows in enumerate(asked, start=1):
            assert sorted(rows.tolist()) == sorted(row for part in split[: session + 1] for row in part.tolist())


@pytest.mark.parametrize("balance", ["loss", "sampling", "none"])
def test_warm_start_gives_new_rows_the_length_of_the_old_where_classes_weigh_alike(balance: str, enter: Enter) -> None:
    """Trap 2: long base rows leave short new ones no chance in a short session."""
    contender = enter("joint_cnn:balanced", f"balance={balance}", "from_scratch=false", "new_row_std=0.001")
    for before, first in first_states(contender):
        old = len(before["head.weight"])
        lengths = first["head.weight"].norm(dim=1)
        ratio = (lengths[old:].mean() / lengths[:old].mean()).item()
        assert (ratio == pytest.approx(1.0, rel=1e-4)) == (balance != "none")
