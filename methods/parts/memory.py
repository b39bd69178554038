"""What a method keeps of past sessions: counted, and refused beyond the budget it declares."""

from __future__ import annotations

import torch
from torch import Tensor


class BudgetError(RuntimeError):
    """A method tried to keep more images than it declares."""


class Memory:
    """Training images of past sessions that a method may see again. `budget` None means all of them, and says so."""

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self._rows = torch.empty(0, dtype=torch.int64)

    @property
    def rows(self) -> Tensor:
        """Rows of the kept images, int64 [n], sorted."""
        return self._rows

    def keep(self, rows: Tensor) -> None:
        """Add images. Raises BudgetError beyond the budget; keeping an image twice counts once."""
        rows = torch.unique(torch.cat([self._rows, rows.cpu()]))
        if self.budget is not None and len(rows) > self.budget:
            raise BudgetError(f"keeps {len(rows)} images, but declares a budget of {self.budget}")
        self._rows = rows

    def drop(self, rows: Tensor) -> None:
        """Forget images."""
        self._rows = self._rows[~torch.isin(self._rows, rows.cpu())]
