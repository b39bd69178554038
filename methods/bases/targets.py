"""Base model of OrCo: its projector is drawn to targets that lie far apart (Ahmed et al., CVPR 2024; docs/modern.md 2.3)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.bases.contrast import left_by_contrast
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.contrast import batch_means, spread_out
from methods.parts.heads import unit
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead, all_but_rows
from methods.parts.targets import assigned, drawn_together, near, repelled, taken_in_turn
from protocols.schema import Sessions


class Targets(BaseKind):
    """Goes on with kind `contrast`. Of unit vectors for all classes, which repel each other, the base classes get those that fit their
    running means best. Then the projector trains in evaluation mode, and the backbone with it where `backbone` says so: cross-entropy of
    cosines to the base targets + spread of the targets, with the batch's class means in place of theirs + contrast, with as many anchors
    at free targets as the batch has images."""

    version = 3
    parent = "contrast"
    views = 2
    knows_all_classes = True

    class Config(KindConfig):
        number: int | None = Field(None, ge=2, le=100_000)  # of targets: None is one a class; 256 on CUB-200
        steps: int = Field(1000, ge=1, le=1_000_000)  # in which targets repel each other; 5,000 on CUB-200
        epsilon: float = Field(1e-2, ge=0, le=2)  # width of the noise on targets that are anchors: 9e-5 on CIFAR-100
        temperature: float = Field(0.07, gt=0)
        backbone: bool = False  # CUB-200

    def build(self, network: Network, sessions: Sessions) -> None:
        d, seed = network.feature_dim, int(torch.randint(2**31, ()))
        project, means = left_by_contrast(network, sessions)
        targets = repelled(self.config.number or sessions.classes, project[-1].out_features, self.config.steps, seed)
        if len(targets) < sessions.classes:
            raise ValueError(f"base kind targets: {sessions.classes} classes need as many targets, and targets.number is {len(targets)}")
        with torch.no_grad():
            order = assigned(unit(project(means)), targets, 0)
        network.head = ProjectedHead(d, project, targets[order])

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return all_but_rows(network) if self.config.backbone else [{"params": list(network.head.project.parameters())}]

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        free = len(network.head.targets) - len(network.head.weight)
        order = taken_in_turn(free, shape[0], step.generator)
        return [order, *(torch.rand(len(order), network.head.targets.shape[1], generator=step.generator) for _ in range(self.views))]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c, head = self.config, network.head
        network.eval()
        with torch.set_grad_enabled(c.backbone):
            features = network.embed(torch.cat(views))
        x, base = unit(head.project(features)), len(head.weight)
        everywhere = labels.repeat(len(views))
        pulled = F.cross_entropy(x @ head.targets[:base].T, everywhere)
        apart = spread_out(*batch_means(x[: len(labels)], labels, base), head.targets)
        order, *noise = step.drawn
        anchors = near(head.targets[base:][order], noise, c.epsilon)
        return pulled + apart + drawn_together(x, everywhere, anchors, (base + order).repeat(len(views)), c.temperature)
