"""A guest that trains its head on the mean feature of each old class, beside the shots' features or alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.features import class_means
from protocols.schema import Sessions


class ReplaysMeans(SessionStrategy):
    """One vector a class is kept. It notes the labels of its batches."""

    title = "ReplaysMeans"
    trains = "none"

    class Config(TrainConfig):
        epochs: int = 3
        images: bool = True
        declared: int = 1  # vectors a class

    presets = {"default": {}, "alone": {"images": False}, "too_many": {"declared": 0}}

    @classmethod
    def most_numbers(cls, config: Any, sessions: Sessions, width: int) -> int:
        return int(config.declared * sessions.classes * width)

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        self.means = torch.empty(0, network.feature_dim)
        self.batches_of: list[list[int]] = []

    def session_indices(self) -> Tensor:
        return self.own_indices if self.config.images else self.own_indices[:0]

    def session_vectors(self) -> tuple[Tensor, Tensor]:
        return self.means, torch.arange(len(self.means))

    def session_loss(self) -> Tensor:
        self.batches_of.append(sorted(self.mb_y.tolist()))
        return super().session_loss()

    def after_session(self) -> None:
        features = self.embed_indices(self.own_indices)
        self.means = torch.cat([self.means, class_means(features, self.context.images.labels(self.own_indices))])
