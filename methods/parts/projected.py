"""A head on a projection of the features, for base sessions whose targets or class weights live in another space than the features."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.heads import GrowingHead, unit
from methods.parts.network import Network


class ProjectedHead(GrowingHead):
    """scale * cos(projection of the feature, target of the class). `targets` [classes or more, width] do not grow.

    `weight` [classes seen, d] are rows in the space of the features. This head does not read them: prototypes and other methods that
    score by rows of their own find the room for them here.
    """

    reads_rows = False
    targets: Tensor

    def __init__(self, feature_dim: int, project: nn.Module, targets: Tensor, *, scale: float = 1.0, learns: bool = False) -> None:
        super().__init__(feature_dim)
        self.project, self.scale = project, scale
        if learns:
            self.targets = nn.Parameter(targets)
        else:
            self.register_buffer("targets", targets)

    def cosines(self, features: Tensor) -> Tensor:
        """Cosines [N, targets] of features [N, d] with all targets."""
        return F.linear(unit(self.project(features)), unit(self.targets))

    def has_room(self, classes: int) -> bool:
        """Fixed targets may wait for classes to come; learnt ones are those of the base classes, and of what its training made of them."""
        learnt = isinstance(self.targets, nn.Parameter)
        return classes <= (len(self.weight) if learnt else len(self.targets))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)[:, : len(self.weight)]


def all_but_rows(network: Network) -> list[dict[str, Any]]:
    """One group for the optimiser: all parameters but the head's `weight`, which gets no gradient where the head does not read it."""
    return [{"params": [parameter for parameter in network.parameters() if parameter is not network.head.weight]}]
