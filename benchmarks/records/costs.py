"""What a run cost: seconds, memory, the code that ran it. Differs from run to run, so it stands beside the record."""

from __future__ import annotations

import json

from benchmarks.records.schema import Record
from protocols.fields import Strict


class Costs(Strict):
    """What a run cost, and the code that ran it. `base_seconds` is 0 where the base came from the cache.

    `sources` is the hash of the method's sources (source_hash.py), `sweep` names the command that ran it; None in older files.
    """

    base_seconds: float
    session_seconds: tuple[float, ...]
    evaluation_seconds: tuple[float, ...]
    peak_memory_mib: float
    commit: str
    sources: str | None = None
    sweep: str | None = None

    @property
    def sessions_seconds(self) -> float:
        """All sessions, training and testing; without the base."""
        return sum(self.session_seconds) + sum(self.evaluation_seconds)


def costs_of(record: Record) -> Costs | None:
    """What lies beside a record; None where there is no whole file of costs."""
    try:
        return Costs.model_validate(json.loads(record.beside(".cost.json").read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
