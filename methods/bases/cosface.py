"""Base model of ALICE: CosFace on a projector, with classes made of pairs (Peng et al., ECCV 2022; docs/methods.md 6.7)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.mixing import beta, shuffled
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead, all_but_rows
from protocols.schema import Sessions

NARROW = (0.4, 0.6)  # a share of a pair beyond these becomes 1/2


class CosFace(BaseKind):
    """Cross-entropy of scale * (cos - margin at the true class) over base classes and pairs of them, a mean over two views. Each step adds
    `mixes` rounds of images mixed with others of the batch: a mixture of classes a and b has the label of that pair.

    `idle` columns, of no class, stand in the denominator alone. The source has the classes to come and their pairs there: 120 on CIFAR-100
    and miniImageNet, 100 on CUB-200, where `pairs` is false.
    """

    views = 2

    class Config(KindConfig):
        scale: float = Field(30.0, gt=0)
        margin: float = Field(0.4, ge=0, le=1)
        width: int = Field(2048, ge=1, le=100_000)
        pairs: bool = True
        mixes: int = Field(4, ge=1, le=100)
        alpha: float = Field(20.0, gt=0)  # of Beta
        idle: int = Field(0, ge=0, le=100_000)

    @property
    def changes_images(self) -> bool:
        return bool(self.config.pairs)

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        pairs = sessions.base * (sessions.base - 1) // 2 if c.pairs else 0
        columns = nn.init.xavier_uniform_(torch.empty(sessions.base + pairs + c.idle, c.width))
        network.head = ProjectedHead(d, projector(d, c.width), columns, scale=c.scale, learns=True)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return all_but_rows(network)

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        if self.config.pairs:
            views, labels = self.with_pairs(views, labels, len(network.head.weight), step.generator)
        losses = [self.of_view(network, view, labels) for view in views]
        return torch.stack(losses).mean()

    def of_view(self, network: Network, images: Tensor, labels: Tensor) -> Tensor:
        cosines = network.head.cosines(network.embed(images))
        return cos_face(cosines, labels, self.config.scale, self.config.margin)

    def with_pairs(self, views: list[Tensor], labels: Tensor, base: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """The views [B, C, S, S] and labels [B], and after them all mixtures of two classes, the same in all views."""
        shown, targets = [[view] for view in views], [labels]
        for _ in range(self.config.mixes):
            order, share = shuffled(len(labels), generator, labels.device), beta(self.config.alpha, len(labels), generator)
            share = share.masked_fill((share < NARROW[0]) | (share > NARROW[1]), 0.5).to(labels.device)[:, None, None, None]
            differ = labels != labels[order]
            for view, images in zip(views, shown, strict=True):
                images.append((share * view + (1 - share) * view[order])[differ])
            targets.append(pair_label(labels, labels[order], base)[differ])
        return [torch.cat(images) for images in shown], torch.cat(targets)


def projector(d: int, width: int) -> nn.Sequential:
    """Linear, batch norm, ReLU, linear, batch norm without scale and shift: [N, d] to [N, width]."""
    return nn.Sequential(
        nn.Linear(d, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.BatchNorm1d(width, affine=False)
    )


def cos_face(cosines: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Cross-entropy of scale * (cos - margin at the label) for cosines [N, columns] and labels [N] (Wang et al., CVPR 2018)."""
    taken = F.one_hot(labels, cosines.shape[1]) * margin
    return F.cross_entropy(scale * (cosines - taken), labels)


def pair_label(one: Tensor, other: Tensor, base: int) -> Tensor:
    """Labels [N] of pairs of different classes, from `base` on, whichever comes first: (0, 1) is `base`, (0, 2) `base` + 1, and so on."""
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    return base + (2 * base - low - 1) * low // 2 + high - low - 1
