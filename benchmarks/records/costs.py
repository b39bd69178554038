"""What a run cost: seconds, memory, the code that ran it. Differs from run to run, so it stands beside the record."""

from __future__ import annotations

from protocols.fields import Strict


class Costs(Strict):
    """What a run cost, and the code that ran it. `base_seconds` is 0 where the base came from the cache."""

    base_seconds: float
    session_seconds: tuple[float, ...]
    evaluation_seconds: tuple[float, ...]
    peak_memory_mib: float
    commit: str

    @property
    def sessions_seconds(self) -> float:
        """All sessions, training and testing; without the base."""
        return sum(self.session_seconds) + sum(self.evaluation_seconds)
