"""Which training images a method may use: those of the current session and its exemplars, within the budget that it declares."""

from __future__ import annotations

import torch
from torch import Tensor


class BudgetError(RuntimeError):
    """A method tried to keep more images than its declared budget."""


class LeakError(RuntimeError):
    """A method asked for images that it may not use now."""


class Memory:
    """Training images of past sessions that a method may use again (exemplars). `budget` is their maximum number; None: no limit."""

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self._indices = torch.empty(0, dtype=torch.int64)
        self._session = torch.empty(0, dtype=torch.int64)

    @property
    def indices(self) -> Tensor:
        """Indices of the kept images, int64 [n], sorted."""
        return self._indices

    def open(self, session: Tensor) -> None:
        """Called by the runner. `session` holds the image indices of the session that begins."""
        self._session = session

    def check(self, indices: Tensor) -> Tensor:
        """Returns the same indices on the CPU. Raises LeakError if one belongs neither to this session nor to the kept images, ValueError
        for what is no int64 [n]."""
        indices = as_indices(indices)
        foreign = ~(torch.isin(indices, self._session) | torch.isin(indices, self._indices))
        if bool(foreign.any()):
            raise LeakError(f"asked for {int(foreign.sum())} training images outside this session and its memory")
        return indices

    def keep(self, indices: Tensor) -> None:
        """Add images of the current session. An image that is added twice counts once.

        Raises LeakError for images of another session and BudgetError if the budget is exceeded.
        """
        indices = torch.unique(torch.cat([self._indices, self.check(indices)]))
        if self.budget is not None and len(indices) > self.budget:
            raise BudgetError(f"keeps {len(indices)} images, but declares a budget of {self.budget}")
        self._indices = indices

    def drop(self, indices: Tensor) -> None:
        """Remove images from the memory. Those of past sessions cannot be added again."""
        self._indices = self._indices[~torch.isin(self._indices, as_indices(indices))]


def as_indices(indices: Tensor) -> Tensor:
    """The same on the CPU. Raises ValueError if it is no int64 tensor [n]: a mask says nothing about which images are meant."""
    is_tensor = isinstance(indices, Tensor)
    if not (is_tensor and indices.dtype == torch.int64 and indices.dim() == 1):
        got = f"{str(indices.dtype).removeprefix('torch.')} {list(indices.shape)}" if is_tensor else type(indices).__name__
        raise ValueError(f"memory and images take indices, not a mask: an int64 tensor [n] (got {got}); own_indices[mask] is one")
    return indices.cpu()
