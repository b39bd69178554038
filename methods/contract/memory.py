"""Which training images a method may see: the current session's, and those it keeps within the budget it declares."""

from __future__ import annotations

import torch
from torch import Tensor


class BudgetError(RuntimeError):
    """A method tried to keep more images than it declares."""


class LeakError(RuntimeError):
    """A method asked for images that it may not see now."""


class Memory:
    """Training images of past sessions that a method may see again. `budget` None means all of them, and says so."""

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self._rows = torch.empty(0, dtype=torch.int64)
        self._session = torch.empty(0, dtype=torch.int64)

    @property
    def rows(self) -> Tensor:
        """Rows of the kept images, int64 [n], sorted."""
        return self._rows

    def open(self, session: Tensor) -> None:
        """Called by the runner: `session` are the rows of the session that begins."""
        self._session = session

    def check(self, rows: Tensor) -> Tensor:
        """The same rows, on the CPU. Raises LeakError for one that is neither of this session nor kept."""
        rows = rows.cpu()
        foreign = ~(torch.isin(rows, self._session) | torch.isin(rows, self._rows))
        if bool(foreign.any()):
            raise LeakError(f"asked for {int(foreign.sum())} training images outside this session and its memory")
        return rows

    def keep(self, rows: Tensor) -> None:
        """Add images of the current session; keeping an image twice counts once.

        Raises LeakError for images of another session, BudgetError beyond the budget.
        """
        rows = torch.unique(torch.cat([self._rows, self.check(rows)]))
        if self.budget is not None and len(rows) > self.budget:
            raise BudgetError(f"keeps {len(rows)} images, but declares a budget of {self.budget}")
        self._rows = rows

    def drop(self, rows: Tensor) -> None:
        """Forget images; they cannot be had back."""
        self._rows = self._rows[~torch.isin(self._rows, rows.cpu())]
