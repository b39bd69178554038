"""SAVC: prototypes of classes and fantasy transforms, on a base with both (Song et al., CVPR 2023; docs/methods.md 6.6)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from methods.contract import FeatureMethod
from methods.parts.fantasies import FantasyHead
from methods.parts.features import class_means


class Savc(FeatureMethod):
    """Rows are means per class and transform, of base classes, too. An image is scored under all M transforms, each by the matching rows,
    so a prediction costs M passes. Nothing is trained in the sessions; the source's optional fine-tuning is left out."""

    title = "SAVC"
    group = "modern"
    base = "savc"

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if not isinstance(network.head, FantasyHead):
            raise ValueError("savc: its base must have a row for each transform, as base kind savc has")

    def embed(self, images: Tensor) -> Tensor:
        """Features [N, M * d] of all transforms."""
        return self.model.embed(self.model.head.transforms.shown(images)).view(len(images), -1)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        rows = class_means(features, labels).unflatten(1, (len(self.model.head.transforms), -1))
        self.add_rows(rows[:, 0])
        self.model.head.others.data[self.old_classes : self.classes_seen] = rows[:, 1:]

    def scores(self, features: Tensor) -> Tensor:
        head = self.model.head
        return head.transforms.scores(head.joint(features.view(len(head.transforms) * len(features), -1)))
