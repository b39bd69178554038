"""ALICE: prototypes of as many base images as novel ones, on a CosFace base (Peng et al., ECCV 2022; docs/methods.md 6.7)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from methods.contract import FeatureMethod, MethodConfig
from methods.parts.features import class_means
from methods.parts.heads import CosineHead, unit
from methods.parts.projected import ProjectedHead


class Alice(FeatureMethod):
    """The projector is dropped. A base class's prototype is the mean of `balanced` images near its mean, in session 0, too (the source
    scores that with all images as well). `first_fit` is the source's choice: the first images fill the slots, a later one takes the first
    slot whose image is farther from the mean, so the order of the images decides."""

    title = "ALICE"
    group = "modern"
    base = "cosface"

    class Config(MethodConfig):
        balanced: int = Field(5, ge=1, le=1_000_000)
        choose: Literal["first_fit", "closest", "all"] = "first_fit"

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if isinstance(network.head, ProjectedHead):
            rows = network.head.weight
            network.head = CosineHead(network.feature_dim, scale=16.0, learns=False).to(rows.device)
            network.head.weight = rows

    def learn(self, features: Tensor, labels: Tensor) -> None:
        if not self.session and self.config.choose != "all":
            kept = torch.cat([self.near_the_mean(features, (labels == label).nonzero()[:, 0]) for label in labels.unique()])
            features, labels = features[kept], labels[kept]
        self.add_rows(class_means(features, labels))

    def near_the_mean(self, features: Tensor, of_class: Tensor) -> Tensor:
        """Which of the images `of_class` [n] make the prototype, at most `balanced`."""
        own, most = features[of_class], self.config.balanced
        distances = 1 - unit(own) @ unit(own.mean(dim=0, keepdim=True))[0]
        if self.config.choose == "closest":
            return of_class[distances.argsort(stable=True)[:most]]
        return of_class[first_fit(distances.tolist(), most)]


def first_fit(distances: list[float], most: int) -> list[int]:
    """Positions of `most` items: the first ones, each replaced by a later one that finds it to be the first of larger distance."""
    slots = list(range(min(most, len(distances))))
    for position in range(most, len(distances)):
        worse = [slot for slot, held in enumerate(slots) if distances[held] > distances[position]]
        if worse:
            slots[worse[0]] = position
    return slots
