"""LEC-Net's parameters inside a run: what each lets train, that each has its effect, and the presets made of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.base.features import state_sha256
from benchmarks.system.errors import UsageError
from methods.lecnet import LecConfig, LecNet
from protocols.schema import Protocol
from tests.methods.runs import Enter, identity_of, train_all

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
def test_exactly_what_is_declared_moves(case: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No. 16, 17, 34; traps 1 and 13: all else stays bit-equal in session 2, weight decay and batch norm's statistics included."""
    overrides, expected = MOVES[case]
    before: dict[str, torch.Tensor] = {}

    def note(self: LecNet) -> None:
        before.update({name: value.clone() for name, value in self.model.state_dict().items()})

    monkeypatch.setattr(LecNet, "head_grown", note)
    after = train_all(enter("lecnet", "tau_init=0.1", *overrides)).strategy.model.state_dict()
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
    "dampening": ("0.9", ("nesterov=false",)),
    "optimizer": ("adam", ()),
    "schedule": ("cosine", ()),
    "warmup": ("0.5", ("schedule=onecycle",)),
    "floor": ("0.5", ("schedule=cosine",)),
    "ramp_epochs": ("2", ()),
    "ramp_from": ("0.5", ("ramp_epochs=2",)),
    "weight_decay": ("0.1", ()),
    "augment": ("{pad: 0}", ()),
    "batch_norm": ("train", ()),
    "new_row_std": ("0.001", ()),
    "selection": ("oracle_test", ()),
    "views": ("1", ()),
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


@pytest.mark.parametrize("field", LecConfig.model_fields)
def test_every_parameter_has_its_effect(field: str, judged: Any, enter: Enter) -> None:
    """A field that is taken, recorded and without effect would be a false record."""
    value, needed = EFFECT[field]
    judged({1: [[10, 20]], 2: [[10, 90, 20]]})  # not the 30 of the old classes, but the base's 10
    outcomes = []
    for overrides in (needed, (*needed, f"{field}={value}")):
        outcomes.append(state_sha256(train_all(enter("lecnet", *overrides)).strategy.model))
    assert outcomes[0] != outcomes[1]


def test_the_presets_are_table_1s_rows() -> None:
    """All else as in `paper`, so that the four differ in the gate alone; no. 33: NC's tau is fixed at .6."""
    configs = {name: LecConfig(**values).model_dump() for name, values in LecNet.presets.items()}
    changed = {name: {key: value for key, value in config.items() if value != configs["paper"][key]} for name, config in configs.items()}
    assert configs["paper"]["gate"] == "self"
    assert changed["baseline"] == {"gate": "none"}
    assert changed["ne"] == {"gate": "open"}
    assert changed["nc"] == {"gate": "learned", "tau_init": 0.6, "tau_learns": False}
    assert changed["oracle"] == {"selection": "oracle_test"}
    assert (configs["nc"]["indicator_push"], configs["nc"]["indicator_norm"]) == (10.0, "square")


def test_what_does_not_go_together_is_refused_in_one_line(tiny: Protocol) -> None:
    with pytest.raises(UsageError, match="fusion concat goes with feature session") as caught:
        identity_of(tiny, "lecnet", "fusion=concat", "feature=global")
    assert "\n" not in str(caught.value)
