"""Is a run done? Asked here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import has_traces
from methods.contract.registry import load_method

Probes = Mapping[str, tuple[str, ...]]
"""What studies look at (benchmarks.running.probes), by variant."""


@dataclass(frozen=True)
class Ledger:
    """What is done of the runs of one command. `probes` are what studies want to have looked at.

    With `anew` (--force) only runs count that the sweep of this name has done.
    """

    store: Store
    probes: Probes = field(default_factory=dict)
    anew: str | None = None

    def record(self, run: Identity) -> Record | None:
        """The record of a run that is done; None where it is to be run."""
        record = self.store.find(run, upgraded)
        if record is None or not has_traces(record, self.probes.get(run.variant, ())):
            return None
        if self.anew is not None:
            costs = costs_of(record)
            return record if costs is not None and costs.sweep == self.anew else None
        return record

    def is_done(self, run: Identity) -> bool:
        return self.record(run) is not None

    def missing(self, runs: Sequence[Identity]) -> list[Identity]:
        return [run for run in runs if not self.is_done(run)]


def upgraded(identity: Identity) -> Identity:
    """A run of an older version of its method as one of the present version, where the method has a migration for every step; else
    the run as it is."""
    method, config = load_method(identity.method), identity.config
    for version in range(identity.version, method.version):
        if version not in method.migrations:
            return identity
        config = method.migrations[version](dict(config))
    return identity.model_copy(update={"config": config, "version": max(identity.version, method.version)})
