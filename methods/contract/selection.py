"""Choosing an epoch by test accuracy, as published. Used only under `selection: oracle_test`, which tables mark (docs/methods.md 7.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def weighted(accuracies: Sequence[float], classes: Sequence[int]) -> float:
    """Mean of the sessions' accuracies, weighted by their numbers of classes (the `class_count` of docs/methods.md 2)."""
    return sum(a * n for a, n in zip(accuracies, classes, strict=True)) / sum(classes)


class BestEpoch:
    """TOPIC's `select_best2`: the first epoch in which novel accuracy exceeds old accuracy, then any later one better in both.

    Novel classes are those of the current session; old classes are all earlier ones. If no epoch qualifies, the last one is kept.
    """

    def __init__(self) -> None:
        self.old, self.novel = float("-inf"), float("-inf")
        self.state: dict[str, Tensor] | None = None

    def offer(self, model: nn.Module, accuracies: Sequence[float], classes: Sequence[int]) -> None:
        """Record an epoch. `accuracies` are test accuracies per session, the current one last; `classes` are the numbers of classes."""
        old, novel = weighted(accuracies[:-1], classes[:-1]), accuracies[-1]
        better = novel > old if self.state is None else (old > self.old and novel > self.novel)
        if better:
            self.old, self.novel = old, novel
            self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Load the parameters of the chosen epoch into the model."""
        if self.state is not None:
            model.load_state_dict(self.state)
