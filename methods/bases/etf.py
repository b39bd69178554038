"""Base model of NC-FSCIL: an MLP neck towards a fixed simplex of all classes (Yang et al., ICLR 2023; docs/methods.md 6.5)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.mixing import beta, box
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead, all_but_rows
from methods.parts.targets import dot_regression, simplex
from protocols.fields import Share
from protocols.schema import Sessions


class Neck(nn.Module):
    """Two layers of 2d (linear, LayerNorm, leaky ReLU), then a bias-free linear one, plus a bias-free linear skip: [N, d] to [N, width]."""

    def __init__(self, d: int, width: int, hidden: int) -> None:
        super().__init__()
        first, second = (nn.Sequential(nn.Linear(width_in, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.1)) for width_in in (d, hidden))
        self.layers = nn.Sequential(first, second, nn.Linear(hidden, width, bias=False))
        self.skip = nn.Linear(d, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.layers(features) + self.skip(features)
        return out


class Etf(BaseKind):
    """Dot regression on simplex targets for all classes, those to come included. `mix` is the source's on CIFAR-100: of the batches, a
    share `mixup_share` is mixed by a draw of Beta(.8, .8), `cutmix_share` by CutMix. `first_label_too` adds the loss on the first label at
    full weight to that of the mixture, as the released code does."""

    knows_all_classes = True

    class Config(KindConfig):
        width: int = Field(512, ge=2, le=100_000)
        hidden_factor: int = Field(2, ge=1, le=64)  # the neck's layers have this times d
        factor: float = Field(10.0, gt=0)
        mix: bool = False
        mixup_share: Share = 0.4
        mixup_alpha: float = Field(0.8, gt=0)
        cutmix_share: Share = 0.4
        cutmix_alpha: float = Field(1.0, gt=0)
        first_label_too: bool = True

    @property
    def changes_images(self) -> bool:
        return bool(self.config.mix)

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        network.head = ProjectedHead(d, Neck(d, c.width, c.hidden_factor * d), simplex(sessions.classes, c.width))

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return all_but_rows(network)

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        """An order of the batch; what is kept of an image [S, S], where the rest comes from the other one; the weights of the loss on the
        first label, on the other's, and on the first once more."""
        c = self.config
        if not c.mix:
            return []
        kind = float(torch.rand((), generator=step.generator))
        order, kept, share = torch.randperm(shape[0], generator=step.generator), torch.ones(shape[2:]), 1.0
        if kind < c.mixup_share:
            share = float(beta(c.mixup_alpha, 1, step.generator))
            kept *= share
        elif kind < c.mixup_share + c.cutmix_share:
            kept, share = box(kept, float(beta(c.cutmix_alpha, 1, step.generator)), step.generator)
        return [order, kept, torch.tensor([share, 1 - share, float(c.first_label_too and share < 1)])]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        if not step.drawn:
            return self.regression(network, network.embed(views[0]), labels)
        order, kept, (first, other, again) = step.drawn
        features = network.embed(kept * views[0] + (1 - kept) * views[0][order])
        of_first = self.regression(network, features, labels)
        return first * of_first + other * self.regression(network, features, labels[order]) + again * of_first

    def regression(self, network: Network, features: Tensor, labels: Tensor) -> Tensor:
        factor: float = self.config.factor
        return factor * dot_regression(network.head.project(features), network.head.targets[labels])
