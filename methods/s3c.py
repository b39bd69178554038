"""S3C: a stochastic classifier of classes and rotations (Kalla and Biswas, ECCV 2022; docs/modern.md 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.rotations import TURNED, TURNS, StochasticHead
from methods.contract import FrozenPart, SessionStrategy, TrainConfig
from methods.parts.features import class_means
from protocols.schema import Augment


class S3c(SessionStrategy):
    """A session trains means and spreads of all classes, with cross-entropy on the turned shots and, times `old_weight`, on one stored mean
    of each old class's upright images, whose joint label is 4c. New means start as those of the shots; base ones stay as trained. An
    image is scored by its four turns, each by the matching columns, without noise. `noise: false` trains without it, too."""

    version = 2
    title = "S3C"
    group = "modern"
    base = "rotations"
    trains = "none"

    class Config(TrainConfig):
        lr: float = Field(0.01, gt=0)  # .003 on CUB-200
        weight_decay: float = Field(0.0, ge=0)
        nesterov: bool = False
        dampening: float = Field(0.9, ge=0, le=1)
        augment: Augment | None = Augment()
        views: int | None = Field(1, ge=1, le=1000)
        old_weight: float = Field(5.0, ge=0)  # 1 on miniImageNet
        noise: bool = True

    def adopt(self, network: Any) -> None:
        if not isinstance(network.head, StochasticHead):
            raise ValueError("s3c: its base must have a class weight for each rotation, as base kind rotations has")
        self.stored = torch.empty(0, network.feature_dim)

    def embed(self, images: Tensor) -> Tensor:
        """Features [N, 4d] of all turns."""
        return self.model.embed(TURNED.shown(images)).view(len(images), -1)

    def turns(self, features: Tensor, dropout: Sequence[Tensor] = ()) -> Tensor:
        """Attended features [4N, d] of features [N, 4d] of all turns."""
        return self.model.head.attended(features.view(TURNS * len(features), -1), dropout)

    def frozen_part(self) -> FrozenPart:
        return self.embed

    def trainable(self) -> list[nn.Parameter]:
        return self.model.head.class_tensors()

    def before_session(self) -> None:
        labels = self.context.images.labels(self.own_indices)
        self.now.means = class_means(self.turns(self.embed_indices(self.own_indices)), TURNED.joint_labels(labels))

    def head_grown(self) -> None:
        head, rows = self.model.head, self.now.means.view(-1, TURNS, self.model.feature_dim)
        head.weight.data[self.old_classes :], head.turned.data[self.old_classes :] = rows[:, 0], rows[:, 1:]

    def forward(self) -> Tensor:
        """Joint logits of the shots' turns, and of the stored means after them."""
        drawn = self.model.head.draw(TURNS * len(self.mb_x), self.config.noise, torch.default_generator)
        *noise, of_weights, of_output = (tensor.to(self.mb_x) for tensor in drawn)
        shots = self.turns(self.mb_x, [of_weights, of_output])  # dropout acts here, too
        return self.model.head.joint(torch.cat([shots, self.stored]), *noise)

    def session_loss(self) -> Tensor:
        labels, old = TURNED.joint_labels(self.mb_y), torch.arange(len(self.stored), device=self.mb_y.device)
        shots, stored = self.mb_output.tensor_split([len(labels)])
        return F.cross_entropy(shots, labels) + self.config.old_weight * F.cross_entropy(stored, TURNS * old)

    def after_session(self) -> None:
        self.stored = torch.cat([self.stored.to(self.now.means), self.now.means[::TURNS]])

    def scores(self, features: Tensor) -> Tensor:
        return TURNED.scores(self.model.head.joint(self.turns(features)))
