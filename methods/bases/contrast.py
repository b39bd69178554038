"""Base model of OrCo's first phase: supervised contrast on a projector (Ahmed et al., CVPR 2024; docs/modern.md 2.3)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.contrast import batch_means, between_views, contrast_inside, not_itself
from methods.parts.heads import CosineHead, unit
from methods.parts.network import Network
from methods.parts.projected import all_but_rows
from protocols.fields import Share
from protocols.schema import Augment, Sessions


class RunningMeans(nn.Module):
    """`rows` [base, d]: a running mean of each base class's features, where the next phase finds the classes."""

    rows: Tensor

    def __init__(self, classes: int, d: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(classes, d))


class Contrast(BaseKind):
    """(1 - self_share) * supervised contrast + self_share * contrast of an image's views, on the projector's outputs, both with positives
    inside the logarithm. The head is not trained.

    The source has LARS; here it is the recipe's optimiser.
    """

    class Config(KindConfig):
        crops: int = Field(2, ge=2, le=16)  # views of an image: 4 on CIFAR-100
        temperature: float = Field(0.2, gt=0)
        self_share: Share = 0.1
        hidden: int = Field(2048, ge=1, le=100_000)
        width: int = Field(128, ge=1, le=100_000)  # 256 on CUB-200
        mean_momentum: float = Field(0.9, ge=0, lt=1)

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        network.head = CosineHead(d, scale=16.0, learns=False)
        network.parts["projector"] = projector(d, c.hidden, c.width)
        network.parts["means"] = RunningMeans(sessions.base, d)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return all_but_rows(network)

    def other_views(self, own: Augment) -> list[tuple[Augment, int | None]]:
        return [(own, None)] * (self.config.crops - 1)

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c, everywhere = self.config, labels.repeat(len(views))
        features = network.embed(torch.cat(views))
        self.follow(network.parts["means"].rows, features.detach(), everywhere)  # type: ignore[arg-type]
        x = unit(network.parts["projector"](features))
        similarities, counted = x @ x.T / c.temperature, not_itself(len(x), x.device)
        supervised = contrast_inside(similarities, everywhere[:, None] == everywhere, counted)
        if len(views) == 2:  # one positive, so that inside and outside are the same
            return (1 - c.self_share) * supervised + c.self_share * between_views(x, 2, c.temperature)
        image = torch.arange(len(labels), device=labels.device).repeat(len(views))
        return (1 - c.self_share) * supervised + c.self_share * contrast_inside(similarities, image[:, None] == image, counted)

    def follow(self, rows: Tensor, features: Tensor, labels: Tensor) -> None:
        """Moves the running means of the classes in a batch."""
        means, present = batch_means(features, labels, len(rows))
        moved = self.config.mean_momentum * rows + (1 - self.config.mean_momentum) * means
        rows.copy_(torch.where(present[:, None], moved, rows))


def left_by_contrast(network: Network, sessions: Sessions) -> tuple[nn.Sequential, Tensor]:
    """Takes the projector and the running means [base, d] of the first phase out of the network's parts; untrained ones where a network
    before that phase is built."""
    parts, d = network.parts, network.feature_dim
    project = parts.pop("projector") if "projector" in parts else projector(d, 2048, 128)
    means = parts.pop("means") if "means" in parts else RunningMeans(sessions.base, d)
    return project, means.rows  # type: ignore[return-value]


def projector(d: int, hidden: int, width: int) -> nn.Sequential:
    """Linear, ReLU, linear, without batch norm: [N, d] to [N, width]."""
    return nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, width))
