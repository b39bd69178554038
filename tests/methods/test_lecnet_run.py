"""LEC-Net inside a run: schedule, teacher, logged gates, when a session ends."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.lecnet import LecNet
from protocols.schema import Protocol
from tests.methods.by_hand import label_loss, soft_loss
from tests.methods.runs import Enter, Optimizers, Run, after_loss, before_loss, identity_of, train_all, train_under


@pytest.mark.parametrize(("warmup", "betas"), [(0, [1, 2, 3]), (1, [1, 1, 2]), (20, [1, 1, 1])])
def test_beta_grows_with_the_epoch_and_the_teacher_is_in_eval_mode(
    warmup: int, betas: list[int], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No. 8; and a teacher in training mode, as Avalanche's LwF leaves its own, distils from other statistics."""
    seen: list[float] = []

    def observe(strategy: LecNet) -> None:
        seen.append(strategy.head.beta)
        assert not strategy.now.teacher.training
        assert not any(p.requires_grad for p in strategy.now.teacher.parameters())
        assert strategy.now.teacher.classify(strategy.now.features).shape[1] == strategy.mb_output.shape[1] - 2

    before_loss(monkeypatch, LecNet, observe)
    run("lecnet", f"beta_warmup={warmup}")
    assert seen == betas * 2  # two sessions of three epochs


def test_where_the_backbone_trains_the_teacher_has_its_own(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 34: Eq. 2's old logits are those of the whole old network, not of its head on features that have moved since."""
    contender = train_all(enter("lecnet", "train_backbone=true", "ratio_weight=0", "distill_temperature=0.5", "lr=1"), 1)
    old = copy.deepcopy(contender.strategy.model).eval()
    moved: list[float] = []

    def observe(strategy: LecNet, loss: Tensor) -> None:
        logits = strategy.mb_output.tolist()
        with torch.no_grad():
            teacher, by_head_alone = old(strategy.mb_x).tolist(), old.classify(strategy.now.features).tolist()
        distilled = float(loss.detach()) - label_loss(logits, strategy.mb_y.tolist())
        assert distilled == pytest.approx(soft_loss(logits, teacher, 0.5), abs=1e-4)
        moved.append(abs(soft_loss(logits, by_head_alone, 0.5) - soft_loss(logits, teacher, 0.5)))

    after_loss(monkeypatch, LecNet, observe)
    contender.train(1, 0)
    assert len(moved) == 3
    assert moved[0] < 1e-6
    assert min(moved[1:]) > 5e-3, "features have moved, so that it matters whose are read"


def test_log_holds_gate_open_share_and_tau_of_every_novel_session(run: Run) -> None:
    record = run("lecnet:paper")
    assert record.sessions[0].log == {}
    for session in record.sessions[1:]:
        assert set(session.log) == {"epochs", "gate_mean", "gate_open", "gate_saturated", "tau"}
        assert session.log["epochs"] == 3
        assert 0 <= session.log["gate_mean"] <= 1
        assert 0 <= session.log["tau"] <= 1


def test_shared_tau_is_carried_over_and_rises(run: Run) -> None:
    """No. 4, 5: from 0, unconstrained, never down."""
    record = run("lecnet:code")
    taus = [session.log["tau"] for session in record.sessions[1:]]
    assert 0 < taus[0] < taus[1]


def test_code_preset_starts_from_a_base_with_a_trained_projection(tiny: Protocol, enter: Enter) -> None:
    assert identity_of(tiny, "lecnet:code").base == "projected"
    projection = enter("lecnet:code").strategy.head.projection.weight
    assert not torch.equal(projection, torch.eye(len(projection)))


def test_tau_gets_no_weight_decay(enter: Enter) -> None:
    """No. 4: it would be the only force that pushes tau down."""
    contender = train_all(enter("lecnet:paper"), 1)
    strategy, spy = contender.strategy, train_under(contender, 1, Optimizers())
    group = next(g for g in spy.last.param_groups if any(p is strategy.head.tau for p in g["params"]))
    assert group["weight_decay"] == 0.0
    assert len(group["params"]) == 1


def test_parameters_grow_by_branch_head_and_tau(run: Run) -> None:
    """F1 once (d²), then branch d² (docs/methods.md 1.6: 262,144 at d = 512), head way*d, gate d with its beta, and tau a session."""
    record = run("lecnet:paper")
    d = 64
    assert [s.parameters_added for s in record.sessions] == [d * d + t * (d * d + 2 * d + d + 2) for t in range(3)]


# When a session ends -----------------------------------------------------------------------------------------------------


def test_oracle_stops_by_the_published_rule_and_says_so(judged: Any, run: Run) -> None:
    """No. 22, 23: novel test accuracy has reached that of the old classes (6 and 2 of them: 67.5); docs/methods.md 10, first trap."""
    asked = judged({1: [[80, 10], [80, 79.9], [80, 80], [0, 0]], 2: [[60, 90, 61], [60, 90, 67.4], [60, 90, 67.5]]})
    record = run("lecnet:oracle")
    assert asked == [1, 1, 1, 2, 2, 2]
    assert [session.log.get("epochs") for session in record.sessions] == [None, 3, 3]
    assert record.selection == "oracle_test"


def test_oracle_may_take_the_base_for_the_old_classes(judged: Any, run: Run) -> None:
    """No. 23, the other reading."""
    asked = judged({1: [[80, 80]], 2: [[60, 90, 59], [60, 90, 60]]})
    run("lecnet:oracle", "stop_old=base")
    assert asked == [1, 2, 2]


def test_a_rule_that_is_never_met_ends_at_max_epochs(judged: Any, run: Run) -> None:
    """No. 24; and the last epoch stands."""
    asked = judged({1: [[80, 10]], 2: [[80, 10, 10]]})
    record = run("lecnet:oracle", "max_epochs=4")
    assert asked == [1] * 4 + [2] * 4
    assert [session.log.get("epochs") for session in record.sessions] == [None, 4, 4]


STOP = ("stop=shots", "lr=0.1", "max_epochs=60")


@pytest.mark.parametrize("batch", ["null", "4"])
@pytest.mark.parametrize("stop_at", [0.5, 0.9])
def test_stop_by_the_shots_own_accuracy(batch: str, stop_at: float, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 22's clean substitute: the first epoch in which that share of the ten shots is right among all classes seen."""
    shares: list[tuple[int, float]] = []
    seen: list[tuple[int, int]] = []
    finished = LecNet.finished

    def count(strategy: LecNet) -> None:
        seen.append((int((strategy.mb_output.argmax(1) == strategy.mb_y).sum()), len(strategy.mb_y)))

    def close(self: LecNet) -> bool:
        assert sum(shown for _, shown in seen) == 10
        shares.append((self.session, sum(right for right, _ in seen) / 10))
        seen.clear()
        return finished(self)

    before_loss(monkeypatch, LecNet, count)
    monkeypatch.setattr(LecNet, "finished", close)
    record = run("lecnet", *STOP, f"stop_at={stop_at}", f"batch={batch}")
    assert record.selection == "last"
    for session in (1, 2):
        mine = [share for number, share in shares if number == session]
        assert record.sessions[session].log["epochs"] == len(mine) < 60
        assert mine[-1] >= stop_at
        assert all(share < stop_at for share in mine[:-1])


def test_shots_that_are_never_learnt_end_at_max_epochs(run: Run) -> None:
    record = run("lecnet", "stop=shots", "stop_at=1", "max_epochs=4", "lr=1e-9")
    assert [session.log.get("epochs") for session in record.sessions] == [None, 4, 4]


# Gates ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "steps"), [("null", 3), ("4", 9)])
def test_beta_by_progress(batch: str, steps: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 32: from 1 to 21 over the session's steps, however many of them an epoch has."""
    seen: list[float] = []
    before_loss(monkeypatch, LecNet, lambda strategy: seen.append(strategy.head.beta))
    run("lecnet", "beta_clock=progress", f"batch={batch}")
    assert seen == pytest.approx([1 + 20 * step / steps for step in range(steps)] * 2)


@pytest.mark.parametrize("stop", ["fixed", "shots"])
def test_the_stored_gate_is_of_the_beta_that_trained(stop: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 13, plain: once more, on un-augmented shots. A session that stops early must not count an epoch that it never ran."""
    trained: dict[int, float] = {}

    def observe(strategy: LecNet) -> None:
        trained[strategy.session] = strategy.head.beta

    before_loss(monkeypatch, LecNet, observe)
    overrides = ["stored_gate=plain", f"stop={stop}", "stop_at=0.3", "lr=0.1", "max_epochs=60"]
    contender = enter("lecnet", *overrides)
    for session in (0, 1, 2):
        contender.train(session, 0)
        if session:
            strategy = contender.strategy
            with torch.no_grad():
                a = strategy.embed_indices(torch.from_numpy(contender.seed_context.split.train[session])) @ strategy.head.branches[-1].T
            assert torch.allclose(strategy.head.gates[-1], torch.sigmoid(trained[session] * a.mean(0)), atol=1e-6)
            assert float(strategy.head.betas[-1]) == trained[session]
