"""LEC-Net: learnable expansion and compression of the network (the paper's Eq. 2-8; methods.md section 5).

Two sources disagree: the paper, and the authors' anonymous release without a training script. Where they do, a field
of `Config` has both values, and the presets `paper` and `code` choose. Numbers in comments are those of the 34
ambiguities in methods.md 5.5.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from avalanche.models import DynamicModule
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.heads import unit
from methods.parts.losses import distillation
from methods.parts.network import Network
from methods.strategy import SessionStrategy, TrainConfig


class LecConfig(TrainConfig):
    """LEC-Net's parameters. Defaults are preset `paper`: what the text states, else what methods.md 5.5 recommends for it."""

    lr: float = Field(0.01, gt=0)  # section 4.1; the release has .005
    epochs: int = Field(100, ge=1)  # no. 22, 24: the clean rule; one full batch each, so also the number of steps
    gamma: float = 0.8  # no. 6: coefficient of the old feature in Eq. 4, best in Table 3; the release has .6
    branch_init_std: float | None = 0.001  # no. 1: small, so that alpha starts at .5 (appendix); None: Linear default
    beta_warmup: int = Field(0, ge=0)  # no. 8: beta = 1 + max(epoch - warmup, 0); the release holds it for 20
    tau_init: float = 0.5  # no. 2
    tau_shared: bool = False  # no. 5: one tau for all sessions, carried over
    tau_clamp: bool = True  # no. 3: keep tau within [0, 1]
    distill_weight: float = 1.0  # no. 19: lambda 1
    distill_temperature: float = 2.0  # no. 20
    ratio_weight: float = 0.1  # no. 19: lambda 2, weight of Eq. 7
    freeze_projection: bool = False  # no. 16: Eq. 8 optimises it, the release freezes the backbone only


class LecHead(DynamicModule):
    """Backbone features x [N, d] to logits, through F1, one branch and one head a session.

    Session 0: z_0 = V_0 n(F1 x). Session i >= 1: z_i = V_i n(gamma * F1 x + alpha_i * A_i x), each on its own fused
    feature (no. 14), so that a new branch leaves old logits alone. alpha_i is a stored vector [d], never computed from
    test images (no. 11); while session i trains it is sigmoid(beta * batch mean of A_i x) (Eq. 6, no. 9).
    """

    def __init__(self, network: Network, config: LecConfig) -> None:
        super().__init__()
        d = network.feature_dim
        self.config = config
        self.projection = nn.Linear(d, d, bias=False)
        if isinstance(network.projection, nn.Linear):
            self.projection.weight.data.copy_(network.projection.weight.data)
        else:
            # The shared base has no F1: the identity leaves its features, and so its base accuracy, as they are.
            nn.init.eye_(self.projection.weight)
        base = network.head.weight.data.clone()
        self.heads = nn.ParameterList([nn.Parameter(base)])
        self.branches = nn.ParameterList()
        self.taus = nn.ParameterList()
        self.gates: Tensor
        self.register_buffer("gates", torch.ones(0, d))  # alpha of finished sessions, and of the current one
        self.beta = 1.0
        self.alpha = torch.ones(d)

    @property
    def tau(self) -> nn.Parameter:
        return self.taus[-1]

    def adaptation(self, experience: Any) -> None:
        """Append branch, head and gate of a new session (no. 15: one branch a session)."""
        super().adaptation(experience)
        if not self.training or len(self.heads) > experience.current_experience:
            return
        c, d, like = self.config, self.projection.in_features, self.projection.weight
        fresh = nn.Linear(d, len(experience.classes_in_this_experience), bias=False)  # no. 21: Linear default
        branch = nn.Linear(d, d, bias=False)
        if c.branch_init_std is not None:
            nn.init.normal_(branch.weight, std=c.branch_init_std)
        self.heads.append(nn.Parameter(fresh.weight.data.to(like)))
        self.branches.append(nn.Parameter(branch.weight.data.to(like)))
        if not (c.tau_shared and len(self.taus)):
            self.taus.append(nn.Parameter(torch.tensor(c.tau_init).to(like)))
        self.gates = torch.cat([self.gates, torch.zeros(1, d).to(like)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.projection(x)
        logits = [F.linear(unit(h), self.heads[0])]
        newest = len(self.branches) - 1
        for index, branch in enumerate(self.branches):
            expanded = F.linear(x, branch)
            if self.training and index == newest:
                self.alpha = torch.sigmoid(self.beta * expanded.mean(0))
                alpha = self.alpha
            else:
                alpha = self.gates[index]
            logits.append(F.linear(unit(self.config.gamma * h + alpha * expanded), self.heads[index + 1]))
        return torch.cat(logits, dim=1)

    def store_gate(self) -> None:
        """Keep alpha of the last training batch (no. 13). Without it the branch is switched off at test."""
        self.alpha = self.alpha.detach()
        self.gates[-1] = self.alpha


class LecNet(SessionStrategy):
    """Expand by one gated branch a session, distil the old logits, and penalise open nodes beyond a learnt ratio tau.

    Loss (Eq. 8): cross-entropy + distill_weight * KD + ratio_weight * ReLU(mean alpha - tau). The backbone is frozen,
    batch norm in evaluation mode, nothing is rehearsed. Layer FC, fusion plus, gate by self-activation.
    """

    title = "LEC-Net"
    Config = LecConfig
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
    }
    bases = {"code": "projected"}

    def adopt(self, network: Network) -> None:
        network.head = LecHead(network, self.config)
        network.projection = nn.Identity()  # F1 has moved into the head: it sees both x and F1 x

    @property
    def head(self) -> LecHead:
        return self.model.head

    def before_session(self) -> None:
        if self.session:
            self.teacher = copy.deepcopy(self.head).eval().requires_grad_(False)

    def trainable(self) -> Iterable[nn.Parameter]:
        """F1, all heads, the newest branch, tau (no. 16, 17); backbone and old branches stay as they are."""
        projection = [] if self.config.freeze_projection else [self.head.projection.weight]
        return [*projection, *self.head.heads, self.head.branches[-1], self.head.tau]

    def parameter_groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """tau without weight decay, which would be the only force that pushes it down (no. 4)."""
        weights = [p for p in parameters if p is not self.head.tau]
        return [*super().parameter_groups(weights), {"params": [self.head.tau], "weight_decay": 0.0}]

    def _before_training_epoch(self, **kwargs: Any) -> None:
        super()._before_training_epoch(**kwargs)
        epoch = self.clock.train_exp_epochs
        self.head.beta = 1.0 + max(epoch - self.config.beta_warmup, 0)

    def forward(self) -> Tensor:
        with torch.no_grad():
            self.features = self.model.embed(self.mb_x)
        return self.model.classify(self.features)

    def session_loss(self) -> Tensor:
        c = self.config
        old = distillation(self.mb_output, self.teacher(self.features), c.distill_temperature)
        ratio = F.relu(self.head.alpha.mean() - self.head.tau)
        return F.cross_entropy(self.mb_output, self.mb_y) + c.distill_weight * old + c.ratio_weight * ratio

    def _after_update(self, **kwargs: Any) -> None:
        if self.config.tau_clamp:
            self.head.tau.data.clamp_(0.0, 1.0)
        super()._after_update(**kwargs)

    def after_session(self) -> None:
        if self.session:
            self.head.store_gate()
            del self.teacher, self.features  # nothing of a session outlives it but head, branch and gate

    def session_log(self) -> dict[str, float]:
        """Mean gate, share of nodes above one half, share outside (.05, .95), and tau."""
        if not self.session:
            return {}
        gate = self.head.gates[-1]
        return {
            "gate_mean": float(gate.mean()),
            "gate_open": float((gate > 0.5).float().mean()),
            "gate_saturated": float(((gate < 0.05) | (gate > 0.95)).float().mean()),
            "tau": float(self.head.tau.detach()),
        }
