"""Base model of ConCM's structure matching: a projector is drawn to the simplex nearest to the classes (ICLR 2026; docs/modern.md 2.6)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.contrast import left_by_contrast
from methods.bases.targets import drawn_together
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.heads import unit
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead
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


def nearest_simplex(means: Tensor) -> Tensor:
    """Unit vectors [n, width], all at cosine -1 / (n - 1), nearest to the directions of the means [n, width]: with D, their unit vectors as
    centred columns, and D = W L V' (singular values L), sqrt(n / (n - 1)) W V' (I - 11'/n). Where n - 1 exceeds the width there is no
    simplex, and this is as near to one as the same steps come."""
    count, columns = len(means), unit(means).double().cpu().T
    w, _, v = torch.linalg.svd(columns - columns.mean(dim=1, keepdim=True), full_matrices=False)
    frame = F.normalize(w @ v, dim=0)
    centred = (count / max(count - 1, 1)) ** 0.5 * (frame - frame.mean(dim=1, keepdim=True))
    return unit(centred.T).to(means).contiguous()


def class_spreads(features: Tensor, labels: Tensor) -> Tensor:
    """Standard deviation of each class in every dimension, in ascending order of the labels: [classes, d]; zeros for one vector."""
    own = (features[labels == label] for label in labels.unique())
    return torch.stack([vectors.std(dim=0, correction=min(1, len(vectors) - 1)) for vectors in own])
