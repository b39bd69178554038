"""The contract of a probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from benchmarks.running.audit import untouched
from benchmarks.running.contender import Contender
from benchmarks.running.guard import blocked


class Probe:
    """Watches one run. What it has seen is stored beside the record, as JSON (benchmarks.records.traces).

    It may ask the strategy for features and scores, never train it, and it draws from none of the run's random streams.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raise it when a change of the code changes numbers: older traces are then made again."""

    def __init__(self, contender: Contender, seed: int) -> None:
        """Called before session 0; a plugin can be attached to `contender.strategy` here."""
        self.contender, self.seed = contender, seed

    def after_test(self, session: int) -> None:
        """After session `session` was trained and tested; evaluation mode, no gradients."""

    def numbers(self) -> dict[str, Any]:
        """What was seen, as JSON has it; asked once, after the last session."""
        raise NotImplementedError


def observe(probes: Sequence[Probe], contender: Contender, session: int) -> None:
    """Let all probes see a session. Raises TraceError where that leaves the method other than it was."""
    if probes:
        with blocked(contender.seed_context.blocked_folders), untouched(contender.strategy, session), torch.inference_mode():
            for probe in probes:
                probe.after_test(session)
