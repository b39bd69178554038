"""LEC-Net inside a run: schedule, teacher, logged gates, what trains."""

from __future__ import annotations

import pytest
import torch

from benchmarks.plan import identities, make_request
from benchmarks.run import Runner
from benchmarks.settings import Settings
from methods.lecnet import LecNet
from protocols.schema import Protocol


def lec_runs(tiny: Protocol, settings: Settings, variant: str, *overrides: str):  # type: ignore[no-untyped-def]
    identity = identities(make_request(tiny, None, None, "0", variant, list(overrides)))[0]
    runner = Runner(tiny, settings)
    return identity, runner


@pytest.mark.parametrize(("warmup", "betas"), [(0, [1, 2, 3]), (1, [1, 1, 2]), (20, [1, 1, 1])])
def test_beta_grows_with_the_epoch_and_the_teacher_is_in_eval_mode(
    warmup: int, betas: list[int], tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No. 8, and avalanche.md's third finding: a teacher in training mode distils from other statistics."""
    seen: list[float] = []
    original = LecNet.session_loss

    def spy(self: LecNet) -> torch.Tensor:
        seen.append(self.head.beta)
        assert not self.teacher.training
        assert not any(p.requires_grad for p in self.teacher.parameters())
        assert self.teacher(self.features).shape[1] == self.mb_output.shape[1] - 2
        return original(self)

    monkeypatch.setattr(LecNet, "session_loss", spy)
    identity, runner = lec_runs(tiny, settings, "lecnet", f"lecnet.beta_warmup={warmup}")
    runner.run(identity)
    assert seen == betas * 2  # two sessions of three epochs


def test_log_holds_gate_open_share_and_tau_of_every_novel_session(tiny: Protocol, settings: Settings) -> None:
    identity, runner = lec_runs(tiny, settings, "lecnet:paper")
    record, _, _ = runner.run(identity)
    assert record.sessions[0].log == {}
    for session in record.sessions[1:]:
        assert set(session.log) == {"gate_mean", "gate_open", "gate_saturated", "tau"}
        assert 0 <= session.log["gate_mean"] <= 1
        assert 0 <= session.log["tau"] <= 1


def test_shared_tau_is_carried_over_and_rises(tiny: Protocol, settings: Settings) -> None:
    """No. 4, 5: from 0, unconstrained, never down."""
    identity, runner = lec_runs(tiny, settings, "lecnet:code")
    record, _, _ = runner.run(identity)
    taus = [session.log["tau"] for session in record.sessions[1:]]
    assert 0 < taus[0] < taus[1]


def test_code_preset_starts_from_a_base_with_a_trained_projection(tiny: Protocol, settings: Settings) -> None:
    identity, runner = lec_runs(tiny, settings, "lecnet:code")
    assert identity.base == "projected"
    projection = runner.enter(identity).strategy.head.projection.weight
    assert not torch.equal(projection, torch.eye(len(projection)))


def test_tau_gets_no_weight_decay(tiny: Protocol, settings: Settings) -> None:
    """No. 4: it would be the only force that pushes tau down."""
    identity, runner = lec_runs(tiny, settings, "lecnet:paper")
    entrant = runner.enter(identity)
    entrant.train(0, 0)
    entrant.train(1, 0)
    strategy = entrant.strategy
    group = next(g for g in strategy.optimizer.param_groups if any(p is strategy.head.tau for p in g["params"]))
    assert group["weight_decay"] == 0.0
    assert len(group["params"]) == 1


def test_parameters_grow_by_branch_head_and_tau(tiny: Protocol, settings: Settings) -> None:
    """F1 once (d²), then branch d² (methods.md 1.6: 262,144 at d = 512), head way*d, gate d and tau a session."""
    identity, runner = lec_runs(tiny, settings, "lecnet:paper")
    record, _, _ = runner.run(identity)
    d = 64
    assert [s.parameters_added for s in record.sessions] == [d * d + t * (d * d + 2 * d + d + 1) for t in range(3)]
