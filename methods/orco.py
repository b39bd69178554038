"""OrCo: shots and a few base images draw a projector to targets that lie far apart (Ahmed et al., CVPR 2024; docs/modern.md 2.3)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.contrast import batch_means, spread_out
from methods.parts.features import class_means
from methods.parts.grouped import pulled_by_groups
from methods.parts.heads import unit
from methods.parts.projected import ProjectedHead
from methods.parts.targets import assigned, drawn_together, near, taken_in_turn
from protocols.fields import MOST_EPOCHS, Share
from protocols.schema import Sessions
from protocols.training import Schedule

VIEWS = 2
"""Of an image in an epoch, and of a target in a step."""


class OrCo(SessionStrategy):
    """New classes get the free targets that fit the means of their shots best. Each session trains the base's projector anew, on all shots
    so far and `kept` images a base class: contrast with as many anchors at targets of no base class as the batch has vectors, spread of
    the targets, with the novel classes' means in place of theirs, and cross-entropy to the targets, a mean over novel images and one over
    base images, each with its weight. An image is shown twice an epoch, augmented; the source has both views in one batch, which has as
    many vectors as one here."""

    version = 4
    title = "OrCo"
    group = "modern"
    base = "targets"
    trains = "none"

    class Config(TrainConfig):
        lr: float = Field(0.1, gt=0)  # .05 on CUB-200
        batch: int | None = Field(128, ge=1)  # the source's 64 images in two views; 32 of them on CUB-200
        weight_decay: float = Field(1e-4, ge=0)
        nesterov: bool = False
        dampening: float = Field(0.9, ge=0, le=1)
        schedule: Schedule = "cosine"
        ramp_epochs: float = Field(10.0, ge=0, le=MOST_EPOCHS)
        ramp_from: Share = 3e-4  # the source's 3e-5; 6e-4 on CUB-200
        kept: int = Field(5, ge=1, le=1_000_000)
        epsilon: float = Field(1e-2, ge=0, le=2)  # 9e-5 on CIFAR-100
        temperature: float = Field(0.07, gt=0)
        novel_weight: float = Field(0.5, ge=0)  # of the cross-entropy of novel images
        base_weight: float = Field(0.0, ge=0)  # .6 on CUB-200

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        if not isinstance(sessions.shots, int):
            return None
        return int(config.kept * sessions.base + sessions.shots * sessions.way * sessions.count)

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if not isinstance(network.head, ProjectedHead) or len(network.head.targets) < self.context.sessions.classes:
            raise ValueError("orco: its base must have a projector and a target for each class, as base kind targets has")
        self.first_projector = copy.deepcopy(network.head.project.state_dict())

    def before_session(self) -> None:
        if self.session:
            head, labels = self.model.head, self.context.images.labels(self.own_indices)
            head.project.load_state_dict(self.first_projector)
            means = unit(class_means(head.project(self.embed_indices(self.own_indices)), labels))
            head.targets.copy_(head.targets[assigned(means, head.targets, self.old_classes).to(labels.device)])

    def session_indices(self) -> Tensor:
        return torch.cat([self.context.memory.indices, self.own_indices]).repeat(VIEWS)

    def trainable(self) -> list[nn.Parameter]:
        return list(self.model.head.project.parameters())

    def session_loss(self) -> Tensor:
        c, targets, labels = self.config, self.model.head.targets, self.mb_y
        base, x = self.context.sessions.base, unit(self.model.head.project(self.now.features))
        pulled = pulled_by_groups(x @ targets[: self.classes_seen].T, labels, base, c.novel_weight, c.base_weight)
        means, present = batch_means(x, labels, self.classes_seen)
        novel = torch.arange(self.classes_seen, device=labels.device) >= base
        apart = spread_out(means, present & novel, targets)
        order = taken_in_turn(len(targets) - base, -(-len(labels) // VIEWS)).to(labels.device)
        anchors = near(targets[base:][order], [torch.rand(len(order), targets.shape[1]) for _ in range(VIEWS)], c.epsilon)
        return pulled + apart + drawn_together(x, labels, anchors, (base + order).repeat(VIEWS), c.temperature)

    def after_session(self) -> None:
        indices, labels = self.own_indices, self.context.images.labels(self.own_indices).cpu()
        if not self.session:
            indices = torch.cat([indices[labels == label][: self.config.kept] for label in labels.unique()])
        self.context.memory.keep(indices)
