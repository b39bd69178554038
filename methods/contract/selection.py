"""Choosing an epoch by test images, as published: only ever under `selection: oracle_test`, which tables mark (methods.md 7.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def weighted(accuracies: Sequence[float], classes: Sequence[int]) -> float:
    """Mean of the sessions' accuracies, each weighing by its number of classes (the `class_count` of methods.md 2)."""
    return sum(a * n for a, n in zip(accuracies, classes, strict=True)) / sum(classes)


class BestEpoch:
    """TOPIC's `select_best2`: the first epoch at which novel accuracy exceeds old, then any later one better in both.

    Novel classes are those of the session, old ones all before it. If that is never met, the last epoch stands.
    """

    def __init__(self) -> None:
        self.old, self.novel = float("-inf"), float("-inf")
        self.state: dict[str, Tensor] | None = None

    def offer(self, model: nn.Module, accuracies: Sequence[float], classes: Sequence[int]) -> None:
        """Test accuracies of the sessions so far, the present one last, and their numbers of classes."""
        old, novel = weighted(accuracies[:-1], classes[:-1]), accuracies[-1]
        better = novel > old if self.state is None else (old > self.old and novel > self.novel)
        if better:
            self.old, self.novel = old, novel
            self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Put the chosen epoch back."""
        if self.state is not None:
            model.load_state_dict(self.state)
