"""The interface of a probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from benchmarks.running.audit import untouched
from benchmarks.running.contender import Contender
from benchmarks.running.guard import blocked


class Probe:
    """Observes one run. Its measurements are stored beside the record, as JSON (benchmarks.records.traces).

    It may ask the strategy for features and scores. It must neither train it nor draw from the run's random streams.
    """

    name: ClassVar[str]
    """The probe's key in benchmarks.records.traces.VERSIONS, which holds the version of its format."""

    def __init__(self, contender: Contender, seed: int) -> None:
        """Called before session 0. A probe may attach a plugin to `contender.strategy` here."""
        self.contender, self.seed = contender, seed

    def after_test(self, session: int) -> None:
        """Called after session `session` was trained and tested, in evaluation mode without gradients."""

    def numbers(self) -> dict[str, Any]:
        """The measurements as JSON values. Called once, after the last session."""
        raise NotImplementedError


def observe(probes: Sequence[Probe], contender: Contender, session: int) -> None:
    """Call all probes after a session. Raises TraceError if that changes the method."""
    if probes:
        with blocked(contender.seed_context.blocked_folders), untouched(contender.strategy, session), torch.inference_mode():
            for probe in probes:
                probe.after_test(session)
