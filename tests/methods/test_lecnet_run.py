"""LEC-Net inside a run: schedule, teacher, logged gates, what trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.errors import UsageError
from benchmarks.evaluate import state_sha256
from benchmarks.plan import identities, make_request
from benchmarks.run import Entrant, Runner, Stage
from benchmarks.settings import Settings
from methods.lecnet import LecConfig, LecNet
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
        assert self.teacher.classify(self.features).shape[1] == self.mb_output.shape[1] - 2
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
        assert set(session.log) == {"epochs", "gate_mean", "gate_open", "gate_saturated", "tau"}
        assert session.log["epochs"] == 3
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
    """F1 once (d²), then branch d² (methods.md 1.6: 262,144 at d = 512), head way*d, gate d with its beta, and tau a session."""
    identity, runner = lec_runs(tiny, settings, "lecnet:paper")
    record, _, _ = runner.run(identity)
    d = 64
    assert [s.parameters_added for s in record.sessions] == [d * d + t * (d * d + 2 * d + d + 2) for t in range(3)]


def train_all(runner: Runner, identity: Any) -> Entrant:
    entrant = runner.enter(identity)
    for session in range(3):
        entrant.train(session, 0)
    return entrant


# When a session ends -----------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, list[list[float]]]], list[int]]:
    """Test images that answer as a test says, one row an epoch (the last for ever); returns the list of sessions asked for."""

    def script(answers: dict[int, list[list[float]]]) -> list[int]:
        asked: list[int] = []

        def oracle(self: Stage, strategy: Any) -> list[float]:
            assert float(strategy.head.gates[-1].min()) > 0, "the gate must be stored first, or the new branch is off (methods.md 5.1)"
            asked.append(strategy.session)
            rows = answers[strategy.session]
            return rows[min(asked.count(strategy.session), len(rows)) - 1]

        monkeypatch.setattr(Stage, "oracle", oracle)
        return asked

    return script


def test_oracle_stops_by_the_published_rule_and_says_so(judged: Any, tiny: Protocol, settings: Settings) -> None:
    """No. 22, 23: novel test accuracy has reached that of the old classes (6 and 2 of them: 67.5); methods.md 10, first trap."""
    identity, runner = lec_runs(tiny, settings, "lecnet:oracle")
    asked = judged({1: [[80, 10], [80, 79.9], [80, 80], [0, 0]], 2: [[60, 90, 61], [60, 90, 67.4], [60, 90, 67.5]]})
    record, _, _ = runner.run(identity)
    assert asked == [1, 1, 1, 2, 2, 2]
    assert [session.log.get("epochs") for session in record.sessions] == [None, 3, 3]
    assert record.selection == "oracle_test"


def test_oracle_may_take_the_base_for_the_old_classes(judged: Any, tiny: Protocol, settings: Settings) -> None:
    """No. 23, the other reading."""
    identity, runner = lec_runs(tiny, settings, "lecnet:oracle", "lecnet.stop_old=base")
    assert (asked := judged({1: [[80, 80]], 2: [[60, 90, 59], [60, 90, 60]]})) == []
    runner.run(identity)
    assert asked == [1, 2, 2]


def test_a_rule_that_is_never_met_ends_at_max_epochs(judged: Any, tiny: Protocol, settings: Settings) -> None:
    """No. 24; and the last epoch stands."""
    identity, runner = lec_runs(tiny, settings, "lecnet:oracle", "lecnet.max_epochs=4")
    asked = judged({1: [[80, 10]], 2: [[80, 10, 10]]})
    record, _, _ = runner.run(identity)
    assert asked == [1] * 4 + [2] * 4
    assert [session.log.get("epochs") for session in record.sessions] == [None, 4, 4]


STOP = ("lecnet.stop=shots", "lecnet.lr=0.1", "lecnet.max_epochs=60")


@pytest.mark.parametrize("batch", ["null", "4"])
@pytest.mark.parametrize("stop_at", [0.5, 0.9])
def test_stop_by_the_shots_own_accuracy(
    batch: str, stop_at: float, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No. 22's clean substitute: the first epoch in which that share of the ten shots is right among all classes seen."""
    shares: list[tuple[int, float]] = []
    seen: list[tuple[int, int]] = []
    loss, finished = LecNet.session_loss, LecNet.finished

    def count(self: LecNet) -> torch.Tensor:
        seen.append((int((self.mb_output.argmax(1) == self.mb_y).sum()), len(self.mb_y)))
        return loss(self)

    def close(self: LecNet) -> bool:
        assert sum(shown for _, shown in seen) == 10
        shares.append((self.session, sum(right for right, _ in seen) / 10))
        seen.clear()
        return finished(self)

    monkeypatch.setattr(LecNet, "session_loss", count)
    monkeypatch.setattr(LecNet, "finished", close)
    identity, runner = lec_runs(tiny, settings, "lecnet", *STOP, f"lecnet.stop_at={stop_at}", f"lecnet.batch={batch}")
    record, _, _ = runner.run(identity)
    assert record.selection == "last"
    for session in (1, 2):
        mine = [share for number, share in shares if number == session]
        assert record.sessions[session].log["epochs"] == len(mine) < 60
        assert mine[-1] >= stop_at
        assert all(share < stop_at for share in mine[:-1])


def test_shots_that_are_never_learnt_end_at_max_epochs(tiny: Protocol, settings: Settings) -> None:
    identity, runner = lec_runs(tiny, settings, "lecnet", "lecnet.stop=shots", "lecnet.stop_at=1", "lecnet.max_epochs=4", "lecnet.lr=1e-9")
    record, _, _ = runner.run(identity)
    assert [session.log.get("epochs") for session in record.sessions] == [None, 4, 4]


# Gates ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "steps"), [("null", 3), ("4", 9)])
def test_beta_by_progress(batch: str, steps: int, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 32: from 1 to 21 over the session's steps, however many of them an epoch has."""
    seen: list[float] = []
    original = LecNet.session_loss

    def spy(self: LecNet) -> torch.Tensor:
        seen.append(self.head.beta)
        return original(self)

    monkeypatch.setattr(LecNet, "session_loss", spy)
    identity, runner = lec_runs(tiny, settings, "lecnet", "lecnet.beta_clock=progress", f"lecnet.batch={batch}")
    runner.run(identity)
    assert seen == pytest.approx([1 + 20 * step / steps for step in range(steps)] * 2)


@pytest.mark.parametrize("stop", ["fixed", "shots"])
def test_the_stored_gate_is_of_the_beta_that_trained(
    stop: str, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No. 13, plain: once more, on un-augmented shots. A session that stops early must not count an epoch that it never ran."""
    trained: dict[int, float] = {}
    original = LecNet.session_loss

    def spy(self: LecNet) -> torch.Tensor:
        trained[self.session] = self.head.beta
        return original(self)

    monkeypatch.setattr(LecNet, "session_loss", spy)
    overrides = ["lecnet.stored_gate=plain", f"lecnet.stop={stop}", "lecnet.stop_at=0.3", "lecnet.lr=0.1", "lecnet.max_epochs=60"]
    identity, runner = lec_runs(tiny, settings, "lecnet", *overrides)
    entrant = runner.enter(identity)
    for session in (0, 1, 2):
        entrant.train(session, 0)
        if session:
            strategy = entrant.strategy
            with torch.no_grad():
                a = strategy.embed_rows(torch.from_numpy(entrant.stage.split.train[session])) @ strategy.head.branches[-1].T
            assert torch.allclose(strategy.head.gates[-1], torch.sigmoid(trained[session] * a.mean(0)), atol=1e-6)
            assert float(strategy.head.betas[-1]) == trained[session]


# What trains ---------------------------------------------------------------------------------------------------------------

OWN = {"head.branches.1", "head.taus.1", "head.heads.2.weight"}
OLD_HEADS = {"head.heads.0.weight", "head.heads.1.weight"}
ALL = OWN | OLD_HEADS | {"head.projection.weight"}
BACKBONE = {f"backbone.blocks.{name}" for name in ("0.weight", "1.weight", "1.bias", "4.weight", "5.weight", "5.bias")}
MOVES: dict[str, tuple[list[str], set[str]]] = {
    "default": ([], ALL),
    "freeze_projection": (["freeze_projection=true"], ALL - {"head.projection.weight"}),
    "freeze_old_heads": (["freeze_old_heads=true"], ALL - OLD_HEADS),
    "both": (["freeze_projection=true", "freeze_old_heads=true"], OWN),
    "train_old_branches": (["train_old_branches=true"], ALL | {"head.branches.0"}),
    "tau fixed": (["tau_learns=false"], ALL - {"head.taus.1"}),
    "tau shared": (["tau_shared=true"], ALL - {"head.taus.1"} | {"head.taus.0"}),
    "baseline": (["gate=none"], OLD_HEADS | {"head.heads.2.weight", "head.projection.weight"}),
    "ne": (["gate=open"], ALL - {"head.taus.1"}),
    "nc": (["gate=learned"], ALL | {"head.indicators.1"}),
    "train_backbone": (
        ["train_backbone=true"],
        ALL | BACKBONE,
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_exactly_what_is_declared_moves(case: str, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 16, 17, 34; traps 1 and 13: all else stays bit-equal in session 2, weight decay and batch norm's statistics included."""
    overrides, expected = MOVES[case]
    before: dict[str, torch.Tensor] = {}

    def note(self: LecNet) -> None:
        before.update({name: value.clone() for name, value in self.model.state_dict().items()})

    monkeypatch.setattr(LecNet, "head_grown", note)
    identity, runner = lec_runs(tiny, settings, "lecnet", *(f"lecnet.{text}" for text in ["tau_init=0.1", *overrides]))
    after = train_all(runner, identity).strategy.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved - {"head.gates", "head.betas"} == expected
    assert torch.equal(before.get("head.gates", torch.ones(0))[:1], after["head.gates"][:1]), "a finished session's gate"


# Every parameter -----------------------------------------------------------------------------------------------------------

SHOTS, LEARNED, ORACLE = ("stop=shots",), ("gate=learned",), ("selection=oracle_test",)
EFFECT: dict[str, tuple[str, tuple[str, ...]]] = {  # field: another value, and what must be set for it to matter
    "epochs": ("4", ()),
    "lr": ("0.02", ()),
    "milestones": ("[1]", ()),
    "lr_decay": ("0.5", ("milestones=[1]",)),
    "batch": ("5", ()),
    "momentum": ("0.5", ()),
    "nesterov": ("false", ()),
    "weight_decay": ("0.1", ()),
    "batch_norm": ("train", ()),
    "new_row_std": ("0.001", ()),
    "selection": ("oracle_test", ()),
    "gate": ("open", ()),
    "layer": ("conv3x3", ()),
    "gamma": ("0.6", ()),
    "fusion": ("concat", ()),
    "feature": ("global", ()),
    "branch_init_std": ("null", ()),
    "gate_mean": ("gates", ("branch_init_std=null",)),
    "test_gate": ("hard", ()),
    "indicator_std": ("0.5", LEARNED),
    "tau_init": ("0.1", ()),
    "tau_shared": ("true", ()),
    "stop": ("shots", ()),
    "stop_at": ("0.1", SHOTS),
    "stop_old": ("base", ORACLE),
    "max_epochs": ("4", (*SHOTS, "stop_at=1", "lr=0.001")),
    "beta_warmup": ("1", ()),
    "beta_clock": ("progress", ()),
    "stored_gate": ("plain", ()),
    "tau_learns": ("false", ("tau_init=0.1",)),
    "tau_clamp": ("false", ("tau_init=-0.5",)),
    "indicator_push": ("5", LEARNED),
    "indicator_norm": ("norm", LEARNED),
    "distill_weight": ("0.5", ()),
    "distill_temperature": ("1", ()),
    "ratio_weight": ("0.5", ("tau_init=0.1",)),
    "freeze_projection": ("true", ()),
    "freeze_old_heads": ("true", ()),
    "train_old_branches": ("true", ()),
    "train_backbone": ("true", ()),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the base is trained once."""
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("field", LecConfig.model_fields)
def test_every_parameter_has_its_effect(field: str, judged: Any, tiny: Protocol, data_root: Path, results: Path) -> None:
    """A field that is taken, recorded and without effect would be a false record."""
    value, needed = EFFECT[field]
    judged({1: [[10, 20]], 2: [[10, 90, 20]]})  # not the 30 of the old classes, but the base's 10
    outcomes = []
    for overrides in (needed, (*needed, f"{field}={value}")):
        identity, runner = lec_runs(tiny, Settings(data_root, results, "cpu", 1), "lecnet", *(f"lecnet.{text}" for text in overrides))
        outcomes.append(state_sha256(train_all(runner, identity).strategy.model))
    assert outcomes[0] != outcomes[1]


def test_the_presets_are_table_1s_rows(tiny: Protocol) -> None:
    """All else as in `paper`, so that the four differ in the gate alone; no. 33: NC's tau is fixed at .6."""
    configs = {name: LecConfig(**values).model_dump() for name, values in LecNet.presets.items()}
    changed = {name: {key: value for key, value in config.items() if value != configs["paper"][key]} for name, config in configs.items()}
    assert configs["paper"]["gate"] == "self"
    assert changed["baseline"] == {"gate": "none"}
    assert changed["ne"] == {"gate": "open"}
    assert changed["nc"] == {"gate": "learned", "tau_init": 0.6, "tau_learns": False}
    assert changed["oracle"] == {"selection": "oracle_test"}
    assert (configs["nc"]["indicator_push"], configs["nc"]["indicator_norm"]) == (10.0, "square")


def test_what_does_not_go_together_is_refused_in_one_line(tiny: Protocol, settings: Settings) -> None:
    with pytest.raises(UsageError, match="fusion concat goes with feature session") as caught:
        lec_runs(tiny, settings, "lecnet", "lecnet.fusion=concat", "lecnet.feature=global")
    assert "\n" not in str(caught.value)
