"""LEC-Net: learnable expansion and compression of the network (the paper's Eq. 2-8; docs/methods.md section 5).

There are two sources: the paper, and the authors' anonymous release without a training script. Where they disagree, a field
of `Config` offers both values, and the presets `paper` and `code` choose. "No." in comments refers to the 34
ambiguities in docs/methods.md 5.5; docs/REPRODUCTION.md discusses all of them.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig, Trains
from methods.parts.expansion import ExpandingHead, ExpansionConfig, window_means
from methods.parts.losses import distillation
from methods.parts.network import frozen_copy
from protocols.fields import MOST_EPOCHS

BETA_RANGE = 20.0  # beta_clock progress: beta grows from 1 to 1 + BETA_RANGE over the session


class LecConfig(TrainConfig, ExpansionConfig):
    """LEC-Net's parameters. Defaults are preset `paper`: the paper's values, else those that docs/methods.md 5.5 recommends."""

    lr: float = Field(0.01, gt=0)  # section 4.1; the release has .005
    epochs: int = Field(100, ge=1, le=MOST_EPOCHS)  # no. 22, 24: one full batch per epoch, so also the number of steps
    stop: Literal["fixed", "shots"] = "fixed"  # no. 22: stop after `epochs`, or by accuracy on shots; selection oracle_test: as published
    stop_at: float = Field(0.9, gt=0, le=1)  # stop shots: fraction of shots predicted correctly in training
    stop_old: Literal["seen", "base"] = "seen"  # no. 23: meaning of "old classes" in the published rule
    max_epochs: int = Field(1000, ge=1, le=MOST_EPOCHS)  # no. 24: limit if a rule is never met
    beta_warmup: int = Field(0, ge=0)  # no. 8: beta = 1 + max(epoch - warmup, 0); 20 in the release
    beta_clock: Literal["epoch", "progress"] = "epoch"  # no. 32: under epoch, beta stays 1 if there is one epoch; progress: of all epochs
    stored_gate: Literal["last_batch", "plain"] = "last_batch"  # no. 13: plain: computed again, on un-augmented shots
    tau_learns: bool = True  # no. 4, 33: fixed in NC
    tau_clamp: bool = True  # no. 3: keep tau within [0, 1]
    indicator_push: float = Field(10.0, ge=0)  # NC: N of Eq. 5
    indicator_norm: Literal["square", "norm"] = "square"  # NC: square in the appendix, norm in the text
    distill_weight: float = Field(1.0, ge=0)  # no. 19: lambda 1
    distill_temperature: float = Field(2.0, gt=0)  # no. 20
    ratio_weight: float = Field(0.1, ge=0)  # no. 19: lambda 2
    freeze_projection: bool = False  # no. 16: Eq. 8 optimises it, the release freezes only the backbone
    freeze_old_heads: bool = False  # no. 16: with the projection frozen too, distillation is a constant
    train_old_branches: bool = False  # no. 17
    train_backbone: bool = False  # no. 34


class LecNet(SessionStrategy):
    """Adds one gated branch per session, distils the old logits, and penalises a mean gate above the ratio tau.

    Loss (Eq. 8): cross-entropy + distill_weight * KD + ratio_weight * ReLU(mean alpha - tau). The backbone is frozen,
    batch norm is in evaluation mode, and nothing is rehearsed. `frozen` takes the other reading of no. 16: F1 and old heads are
    frozen too, so that distillation is a constant. `oracle` stops on test images, as published. `baseline`, `ne` and `nc` are
    Table 1's rows, with everything else as in `paper`.
    """

    title = "LEC-Net"
    Config = LecConfig
    version = 2
    presets = {
        "paper": {},
        "code": {
            "lr": 0.005,
            "gamma": 0.6,
            "branch_init_std": None,
            "beta_warmup": 20,
            "tau_init": 0.0,
            "tau_shared": True,
            "tau_clamp": False,
        },
        "frozen": {"freeze_projection": True, "freeze_old_heads": True},
        "baseline": {"gate": "none"},
        "ne": {"gate": "open"},
        "nc": {"gate": "learned", "tau_init": 0.6, "tau_learns": False},
        "oracle": {"selection": "oracle_test"},
    }
    base = {"code": "projected"}

    def adopt(self, network: Any) -> None:
        network.head.new_row_std = self.config.new_row_std
        network.head = ExpandingHead(network, self.config)
        network.neck = nn.Identity()  # F1 is now inside the head, which needs both x and F1 x
        if self.config.layer == "conv3x3":
            network.pool = window_means

    @property
    def head(self) -> ExpandingHead:
        return self.model.head

    @property
    def has_tau(self) -> bool:
        return self.config.gate in ("self", "learned")

    def session_epochs(self) -> int:
        fixed = self.config.stop == "fixed" and not self.may_measure
        return int(self.config.epochs if fixed else self.config.max_epochs)

    def before_session(self) -> None:
        if self.session:
            self.now.teacher = frozen_copy(self.model)

    def trainable(self) -> list[nn.Parameter]:
        """F1, all heads, the newest branch and tau (no. 16, 17). By default the backbone and old branches are frozen."""
        c, head = self.config, self.head
        chosen: list[nn.Parameter] = [] if c.freeze_projection else list(head.projection.parameters())
        for part in head.heads[-1:] if c.freeze_old_heads else head.heads:
            chosen += part.parameters()
        chosen += head.branches if c.train_old_branches else head.branches[-1:]
        if c.gate == "learned":
            chosen.append(head.indicators[-1])
        if self.has_tau and c.tau_learns:
            chosen.append(head.tau)
        if c.train_backbone and self.part != "none":
            chosen += self.model.backbone.parameters()
        return chosen

    def trained_part(self) -> Trains:
        return "all" if self.config.train_backbone else "none"

    def parameter_groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """tau and s get no weight decay: for tau it would be the only force that decreases it (no. 4)."""
        free = {id(p) for p in (*self.head.taus, *self.head.indicators)}
        gates = [p for p in parameters if id(p) in free]
        weights = [p for p in parameters if id(p) not in free]
        return [*super().parameter_groups(weights), *([{"params": gates, "weight_decay": 0.0}] if gates else [])]

    def before_epoch(self, epoch: int) -> None:
        if self.config.beta_clock == "epoch":
            self.head.beta = 1.0 + max(epoch - self.config.beta_warmup, 0)
        elif epoch == 0:
            indices = len(self.own_indices)
            self.steps = self.train_epochs * -(-indices // (self.config.batch or indices))
        self.right, self.shown = torch.zeros((), dtype=torch.int64, device=self.context.device), 0

    def forward(self) -> Tensor:
        if self.config.beta_clock == "progress":
            self.head.beta = 1.0 + BETA_RANGE * self.clock.train_exp_iterations / self.steps
        return super().forward()

    def session_loss(self) -> Tensor:
        c, head = self.config, self.head
        with torch.no_grad():
            self.right += (self.mb_output.argmax(1) == self.mb_y).sum()
            self.shown += len(self.mb_y)
            moved = c.train_backbone and self.part != "none"
            old = self.embed_batch(self.now.teacher) if moved else self.now.features
            teacher = self.now.teacher.classify(old)
        loss = F.cross_entropy(self.mb_output, self.mb_y) + c.distill_weight * distillation(self.mb_output, teacher, c.distill_temperature)
        if self.has_tau:
            loss = loss + c.ratio_weight * F.relu(head.alpha.mean() - head.tau)
        if c.gate == "learned":
            loss = loss + c.ratio_weight * binarising(head.indicators[-1], c.indicator_push, c.indicator_norm)
        return loss

    def after_update(self) -> None:
        if self.config.tau_clamp and self.has_tau:
            self.head.tau.data.clamp_(0.0, 1.0)

    def finished(self) -> bool:
        """Whether the stopping rule is met. Published rule: test accuracy on novel classes reaches that on old classes (no. 22, 23)."""
        c = self.config
        if self.may_measure:
            self.head.store_gate()  # otherwise the new branch would be off in the test
            base, old, novel = self.measured()
            return novel >= (base if c.stop_old == "base" else old)
        return c.stop == "shots" and self.fixed_epochs is None and int(self.right) >= c.stop_at * self.shown

    def after_session(self) -> None:
        if self.session:
            if self.config.stored_gate == "plain" and len(self.head.branches):
                alpha = self.head.activation(F.linear(self.embed_indices(self.own_indices), self.head.branches[-1]))
                self.head.alpha = alpha.mean(0) if alpha.dim() == 2 else alpha
            self.head.store_gate()
            self.epochs_used = self.clock.train_exp_epochs

    def session_log(self) -> dict[str, float]:
        """Epochs used; mean gate, share of nodes above .5, share outside (.05, .95), and tau."""
        if not self.session:
            return {}
        log = {"epochs": float(self.epochs_used)}
        if len(self.head.branches):
            log |= {f"gate_{name}": value for name, value in of_gates(self.head.gates[-1]).items()}
        if self.has_tau:
            log["tau"] = float(self.head.tau.detach())
        return log

    def epoch_log(self) -> dict[str, float]:
        """Of alpha in the epoch's last batch: the values of `of_gates`, tau, and b0 .. b9, shares of nodes in ten equal bins of [0, 1]."""
        if not len(self.head.branches):
            return {}
        alpha = self.head.alpha.detach()
        shares = torch.histc(alpha.float().cpu(), bins=10, min=0.0, max=1.0) / len(alpha)
        log = of_gates(alpha) | {f"b{number}": float(share) for number, share in enumerate(shares)}
        return log | ({"tau": float(self.head.tau.detach())} if self.has_tau else {})

    def represent(self, features: Tensor) -> list[Tensor]:
        return list(self.head.read(features))


def of_gates(alpha: Tensor) -> dict[str, float]:
    """Mean gate, share of nodes above .5, share outside (.05, .95)."""
    return {
        "mean": float(alpha.mean()),
        "open": float((alpha > 0.5).float().mean()),
        "saturated": float(((alpha < 0.05) | (alpha > 0.95)).float().mean()),
    }


def binarising(s: Tensor, push: float, form: str) -> Tensor:
    """The loss L1 of Eq. 5: sum of (|s_i| - N)², or its square root if `form` is norm."""
    squares = ((s.abs() - push) ** 2).sum()
    return squares.sqrt() if form == "norm" else squares
