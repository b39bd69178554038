"""A group of runs as a launcher knows it: the seeds that one element does."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors.scheduler import QUEUED, Element


@dataclass
class Group:
    """Runs that are still to do. `held` is the element that has them, or had them last; `since` when it was first missed, None while it is
    alive; `ended` how it ended, to be told when the runs are submitted again."""

    runs: list[Identity]
    name: str
    submitted: int = 0
    held: Element | None = None
    state: str = ""
    since: float | None = None
    ended: str = ""

    @property
    def at_work(self) -> bool:
        return self.held is not None and self.since is None and not self.state.startswith(QUEUED)
