"""Base model of ConCM's structure matching: a projector is drawn to the simplex nearest to the classes (ICLR 2026; docs/modern.md 2.6)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.contrast import left_by_contrast
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.heads import unit
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead
from methods.parts.targets import drawn_together, nearest_simplex
from protocols.schema import Sessions


class Unit(nn.Module):
    """Vectors [N, d] scaled to length one."""

    def forward(self, x: Tensor) -> Tensor:
        return unit(x)


class Structure(BaseKind):
    """Goes on with kind `contrast`. Targets of the base classes are the simplex nearest to their running means under its projector, which
    now gets unit features. It trains in evaluation mode, the backbone stays: cross-entropy of cosines to the targets + contrast, with the
    targets as anchors. No class to come is counted."""

    parent = "contrast"

    class Config(KindConfig):
        temperature: float = Field(0.07, gt=0)

    def build(self, network: Network, sessions: Sessions) -> None:
        own, means = left_by_contrast(network, sessions)
        project = nn.Sequential(Unit(), own)
        with torch.no_grad():
            targets = nearest_simplex(project(means))
        network.head = ProjectedHead(network.feature_dim, project, targets)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return [{"params": list(network.head.project.parameters())}]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        targets = network.head.targets
        network.eval()
        with torch.no_grad():
            features = network.embed(views[0])
        x = unit(network.head.project(features))
        classes = torch.arange(len(targets), device=labels.device)
        return F.cross_entropy(x @ targets.T, labels) + drawn_together(x, labels, targets, classes, self.config.temperature)
