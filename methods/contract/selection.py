"""Choosing how long a session trains, by accuracies that the runner measures.

Under `selection: oracle_test` on test images, as published; tables mark it (docs/methods.md 7.1). Under `selection: val` on left-out shots
and held-out base images (docs/methods.md 1.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Measured(NamedTuple):
    """Accuracies in percent at one time in a session: on the base classes, on all old classes, on the session's new ones.

    Under `val`, old classes are the base classes alone, since nothing is held out of earlier sessions.
    """

    base: float
    old: float
    novel: float


def weighted(accuracies: Sequence[float], classes: Sequence[int]) -> float:
    """Mean of the sessions' accuracies, weighted by their numbers of classes (the `class_count` of docs/methods.md 2)."""
    return sum(a * n for a, n in zip(accuracies, classes, strict=True)) / sum(classes)


class BestEpoch:
    """TOPIC's `select_best2`: the first epoch in which novel accuracy exceeds old accuracy, then any later one better in both.

    If no epoch qualifies, the last one is kept. `epochs` is the number of epochs up to the chosen one.
    """

    def __init__(self) -> None:
        self.old, self.novel = float("-inf"), float("-inf")
        self.state: dict[str, Tensor] | None = None
        self.offered = self.epochs = 0

    def offer(self, model: nn.Module, measured: Measured) -> None:
        """Record an epoch."""
        _, old, novel = measured
        self.offered += 1
        better = novel > old if self.state is None else (old > self.old and novel > self.novel)
        if better:
            self.old, self.novel = old, novel
            self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if better or self.state is None:
            self.epochs = self.offered

    def restore(self, model: nn.Module) -> None:
        """Load the parameters of the chosen epoch into the model."""
        if self.state is not None:
            model.load_state_dict(self.state)
