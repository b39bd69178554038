"""Tells how far a session's training is, epoch by epoch, for the progress that a terminal shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from avalanche.core import SupervisedPlugin

from methods.contract.strategy import SessionStrategy

INTERVAL = 0.5  # seconds between two reports


class EpochTeller(SupervisedPlugin):
    """Avalanche plugin, called after every epoch. What it holds is not counted as the strategy's (benchmarks/running/leaves.py)."""

    def __init__(self, tell: Callable[[str], None], before: str, after: str) -> None:
        super().__init__()
        self.tell, self.before, self.after = tell, before, after
        self.told = time.monotonic()

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if now - self.told >= INTERVAL:
            self.told = now
            self.tell(f"{self.before}, epoch {strategy.clock.train_exp_epochs + 1}/{strategy.train_epochs}{self.after}")


@contextmanager
def told(strategy: SessionStrategy, tell: Callable[[str], None], before: str, after: str) -> Iterator[None]:
    """In this context, the strategy's training tells `BEFORE, epoch 12/70AFTER` now and then."""
    teller = EpochTeller(tell, before, after)
    strategy.plugins.append(teller)
    try:
        yield
    finally:
        strategy.plugins.remove(teller)
