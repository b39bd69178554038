"""Base model of CLOSER: classes drawn together, instances spread (Oh et al., ECCV 2024; docs/modern.md 2.1)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.contrast import between_classes, between_views
from methods.parts.heads import CosineHead, unit
from methods.parts.network import Network
from protocols.schema import Sessions


class Closer(BaseKind):
    """Cross-entropy over scale * cos on all views + spread * NT-Xent of the views - together * mean cosine between classes, which all read
    the backbone's features. The loss may be negative. A step's views go through one pass, so batch norm sees them together."""

    views = 3

    class Config(KindConfig):
        spread: float = Field(0.1, ge=0)  # lambda_ssc: .1 on CIFAR-100 and miniImageNet, .01 on CUB-200
        together: float = Field(1.0, ge=0)  # lambda_inter: 1, .5, 1.5
        scale: float = Field(32.0, gt=0)
        contrast_temperature: float = Field(1 / 32, gt=0)
        backbone_rate: float = Field(1.0, gt=0, le=10)  # factor on the recipe's learning rate; .05 on CUB-200

    def build(self, network: Network, sessions: Sessions) -> None:
        network.head = CosineHead(network.feature_dim, scale=self.config.scale, learns=False)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        if self.config.backbone_rate == 1:
            return super().groups(network)
        return [
            {"params": list(network.backbone.parameters()), "rate": self.config.backbone_rate},
            {"params": list(network.head.parameters())},
        ]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c = self.config
        features, labels = network.embed(torch.cat(views)), labels.repeat(len(views))
        x = unit(features)
        spread, together = between_views(x, len(views), c.contrast_temperature), between_classes(x, labels)
        return F.cross_entropy(network.classify(features), labels) + c.spread * spread - c.together * together
