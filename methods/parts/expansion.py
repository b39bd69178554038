"""LEC-Net's expandable head: one gated branch and one classifier per session (docs/methods.md 5.1; "no." refers to its 5.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from avalanche.models import DynamicModule
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.heads import CosineHead, GrowingHead
from methods.parts.network import Network
from protocols.fields import Strict

WINDOWS, CENTRE = 9, 4  # positions of a 3x3 kernel; for conv3x3, features are nine window means (`window_means`)


class ExpansionConfig(Strict):
    """How the head expands. Defaults are preset `paper`."""

    gate: Literal["self", "learned", "open", "none"] = "self"  # Eq. 6 (SA), Eq. 5 (NC), alpha = 1 (NE), no branch (Eq. 2)
    layer: Literal["fc", "conv1x1", "conv3x3"] = "fc"  # Table 2
    gamma: float = Field(0.8, ge=0)  # no. 6: coefficient of the old feature in Eq. 4, best in Table 3; the release has .6
    fusion: Literal["plus", "concat"] = "plus"  # no. 7: meaning of the paper's circled plus
    feature: Literal["session", "global"] = "session"  # no. 14: one fused feature per session's classes, or one for all classes
    branch_init_std: float | None = Field(0.001, ge=0)  # no. 1: small, so that alpha starts at .5 (appendix); None: Linear's default
    gate_mean: Literal["nodes", "gates"] = "nodes"  # no. 9: nodes: batch mean, then sigmoid; gates: sigmoid, then batch mean
    test_gate: Literal["stored", "hard", "per_image"] = "stored"  # no. 11, 12
    indicator_std: float = Field(0.1, ge=0)  # NC: s is drawn from N(0, std²); its sign decides the gate (appendix A.1)
    tau_init: float = 0.5  # no. 2
    tau_shared: bool = False  # no. 5: one tau for all sessions

    @model_validator(mode="after")
    def _fits(self) -> ExpansionConfig:
        if self.fusion == "concat" and self.feature == "global":
            raise ValueError("fusion concat goes with feature session: old heads cannot read a vector that grows")
        return self


def another(head: nn.Module, feature_dim: int) -> GrowingHead:
    """A head without classes of the same kind, to stand beside it in one argmax: a cosine head has its scale, learned or not as there.

    Raises ValueError where such a head needs more than its width."""
    assert isinstance(head, GrowingHead)
    if isinstance(head, CosineHead):
        return type(head)(feature_dim, head.new_row_std, head.scale.item(), isinstance(head.scale, nn.Parameter))
    try:
        return type(head)(feature_dim, head.new_row_std)
    except TypeError:
        raise ValueError(
            "lecnet: the head of its base has parts of its own, and each session needs one like it; choose another base"
        ) from None


class ExpandingHead(DynamicModule):
    """Maps backbone features x to logits [N, classes seen] through F1, and one branch and one head per session.

    Session 0: z_0 = V_0 n(F1 x). Session i >= 1: z_i = V_i n(gamma * F1 x + alpha_i * A_i x). Each session has its own fused
    feature, so that a new branch does not change old logits (no. 14). n is the head's normalisation: to length one, or none
    on Seq-MNIST. While session i trains, alpha_i is sigmoid(beta * batch mean of A_i x) (Eq. 6). Afterwards it is a stored
    vector [d], computed from test images only under `test_gate: per_image` (no. 11).

    Layer: a bias-free 1x1 convolution followed by the mean over positions equals the FC layer on the mean, so `conv1x1` and
    `fc` are one computation. A 3x3 convolution is linear in the nine window means, which are then the features.
    """

    def __init__(self, network: Network, config: ExpansionConfig) -> None:
        super().__init__()
        d = network.feature_dim
        another(network.head, d)  # refuses a head that no session could stand beside
        self.config, self.d = config, d
        windows = WINDOWS if config.layer == "conv3x3" else 1
        self.projection = nn.Linear(windows * d, d, bias=False)
        # The shared base model has no F1: the identity preserves its features, and so its base accuracy.
        old = network.neck.weight.data if isinstance(network.neck, nn.Linear) else torch.eye(d)
        nn.init.zeros_(self.projection.weight)
        centre = CENTRE if windows == WINDOWS else 0
        self.projection.weight.data[:, centre * d : (centre + 1) * d] = old
        network.head.adapts = False
        self.heads = nn.ModuleList([network.head])
        self.branches = nn.ParameterList()
        self.indicators = nn.ParameterList()
        self.taus = nn.ParameterList()
        self.gates: Tensor
        self.register_buffer("gates", torch.ones(0, d))  # alpha of finished sessions and of the current one, [branches, d]
        self.betas: Tensor
        self.register_buffer("betas", torch.ones(0))
        self.beta = 1.0
        self.alpha = torch.ones(d)

    @property
    def tau(self) -> nn.Parameter:
        return self.taus[-1]

    def adaptation(self, experience: Any) -> None:
        """Append branch, head and gate of a new session (no. 15: one branch per session)."""
        super().adaptation(experience)
        if not self.training or len(self.heads) > experience.current_experience:
            return
        c, d, like = self.config, self.d, self.projection.weight
        width = 2 * d if c.fusion == "concat" and c.gate != "none" else d
        head = another(self.heads[0], width)  # no. 21: the head's own initialisation, torch's Linear default, unless set
        head.grow(len(experience.classes_in_this_experience))
        head.adapts = False
        self.heads.append(head.to(like))
        if c.gate == "none":
            return
        branch = nn.Linear(self.projection.in_features, d, bias=False)
        if c.branch_init_std is not None:
            nn.init.normal_(branch.weight, std=c.branch_init_std)
        self.branches.append(nn.Parameter(branch.weight.data.to(like)))
        self.indicators.append(nn.Parameter((c.indicator_std * torch.randn(d if c.gate == "learned" else 0)).to(like)))
        if c.gate != "open" and not (c.tau_shared and len(self.taus)):
            self.taus.append(nn.Parameter(torch.tensor(c.tau_init).to(like)))
        self.gates = torch.cat([self.gates, torch.zeros(1, d).to(like)])
        self.betas = torch.cat([self.betas, torch.ones(1).to(like)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(fused) for head, fused in zip(self.heads, self.read(x), strict=True)], dim=1)

    def read(self, x: Tensor) -> Iterator[Tensor]:
        """The input of each head, the base head's first. Yielded in order, because the order of operations affects a run's bits."""
        h = self.projection(x)
        gated = [self._gate(index, a := F.linear(x, branch)) * a for index, branch in enumerate(self.branches)]
        if self.config.feature == "global":
            fused = self.config.gamma * h + sum(gated) if gated else h
            yield from [fused] * len(self.heads)
            return
        yield h
        for index in range(len(self.heads) - 1):
            yield self._fuse(h, gated[index]) if gated else h

    def _fuse(self, h: Tensor, gated: Tensor) -> Tensor:
        old = self.config.gamma * h
        return torch.cat([old, gated], dim=1) if self.config.fusion == "concat" else old + gated

    def _gate(self, index: int, a: Tensor) -> Tensor:
        """alpha of a branch with outputs `a` [N, d]: computed while the branch is trained, stored afterwards."""
        c = self.config
        if self.training and index == len(self.branches) - 1:
            gate = self.activation(a)
            self.alpha = gate.mean(0) if gate.dim() == 2 else gate
            return gate
        if c.test_gate == "per_image" and c.gate == "self":
            return torch.sigmoid(self.betas[index] * a)
        return (self.gates[index] > 0.5).to(a) if c.test_gate == "hard" else self.gates[index]

    def activation(self, a: Tensor) -> Tensor:
        """alpha of the newest branch from its outputs [N, d] on a training batch: [d], or [N, d] under `gate_mean: gates`."""
        c = self.config
        if c.gate == "open":
            return torch.ones_like(a[0])
        if c.gate == "learned":
            return torch.sigmoid(self.indicators[-1])
        return torch.sigmoid(self.beta * (a.mean(0) if c.gate_mean == "nodes" else a))

    def store_gate(self) -> None:
        """Store alpha of the last training batch (no. 13). Without it the branch is switched off at test time."""
        if len(self.branches):
            self.alpha = self.alpha.detach()
            self.gates[-1] = self.alpha
            self.betas[-1] = self.beta


def window_means(maps: Tensor) -> Tensor:
    """Returns [N, 9 d] for feature maps [N, d, h, w]: per position of a 3x3 kernel with padding 1, the sum of its inputs / (h w).

    Entry (row, column) of the nine sums the inputs that kernel weight (row, column) is multiplied with. Therefore a bias-free
    3x3 convolution followed by the mean over positions is exactly one linear layer on the result.
    """
    h, w = maps.shape[2:]
    cut = [slice(0, -1), slice(None), slice(1, None)]
    sums = [maps[:, :, rows, columns].sum(dim=(2, 3)) for rows in cut for columns in cut]
    return torch.cat(sums, dim=1) / (h * w)
