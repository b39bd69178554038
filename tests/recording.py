"""A stand-in for CUDA graphs on the CPU: it records which steps to do, and a replay does them on the same memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.parts.capture import Recording


@dataclass
class StandIn:
    """What a card's recorder does, seen from outside: losses lie in memory of the recording, and recording changes nothing itself.

    `replayed` leaves out the replay by which a recording is tried.
    """

    recorded: int = 0
    replayed: int = 0

    def warm_up(self, steps: Sequence[Callable[[], Tensor]]) -> None:
        for step in steps:
            step()

    def record(self, steps: Sequence[Callable[[], Tensor]]) -> Recording:
        self.recorded += 1
        self.replayed -= 1
        losses = [torch.zeros(()) for _ in steps]

        def replay() -> None:
            self.replayed += 1
            for loss, step in zip(losses, steps, strict=True):
                loss.copy_(step())

        return Recording(replay, losses)
