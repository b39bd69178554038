"""What runs of the same variants have cost before."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from benchmarks.planning.ledger import Ledger, but_for_seed, upgraded
from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity


class Seconds(NamedTuple):
    """Mean seconds of a run by variant, without its base session, and those of a base session; 0 where none was trained here."""

    of_variants: dict[str, float]
    base: float

    def of(self, runs: Sequence[Identity]) -> float:
        """Seconds of these runs one after the other, each base session trained once; variants that were never run count nothing."""
        bases = {(run.base_session, run.seed) for run in runs}
        return sum(self.of_variants.get(run.variant, 0.0) for run in runs) + self.base * len(bases)


def seconds_before(runs: Sequence[Identity], ledger: Ledger) -> Seconds:
    """Means over those of the runs that are done."""
    sessions: dict[str, list[float]] = {}
    trained: list[float] = []
    for run in runs:
        record = ledger.store.find(run, upgraded)  # also one that is to be done again, which the ledger would not count
        if record is not None and (cost := costs_of(record)) is not None:
            sessions.setdefault(run.variant, []).append(cost.sessions_seconds)
            trained += [cost.base_seconds] if cost.base_seconds else []
    return Seconds({variant: mean(seconds) for variant, seconds in sessions.items()}, mean(trained) if trained else 0.0)


def longest_before(runs: Sequence[Identity], ledger: Ledger, on_gpu: bool) -> tuple[str, float]:
    """The longest that the sessions of one of these variants have taken on such a device, on any seed that is done: the variant, and
    seconds; 0 if nothing is known. Base sessions do not count: interrupted, they go on from a checkpoint."""
    wanted = {but_for_seed(run) for run in runs}
    found = [("nothing", 0.0)]
    for record in ledger.store.load(runs[0].protocol)[0] if runs else []:
        of_device = ("cuda" in record.environment) == on_gpu and but_for_seed(record.identity) in wanted
        if of_device and (cost := costs_of(record)) is not None:
            found.append((record.identity.variant, cost.sessions_seconds))
    return max(found, key=lambda one: one[1])
