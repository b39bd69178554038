"""Decides whether a run is done. No other code decides this."""

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
"""Probes that studies need (benchmarks.running.probes), by variant."""


@dataclass(frozen=True)
class Ledger:
    """Knows which runs of one command are done. A run counts only if the traces of its `probes` exist.

    If `anew` is given (--force), only runs done by the sweep with this identifier count.
    """

    store: Store
    probes: Probes = field(default_factory=dict)
    anew: str | None = None

    def record(self, run: Identity) -> Record | None:
        """The record of a finished run; None if the run is still to do."""
        return next((record for record in self.store.find_all(run, upgraded) if self._counts(record, run)), None)

    def _counts(self, record: Record, run: Identity) -> bool:
        if not has_traces(record, self.probes.get(run.variant, ())):
            return False
        if self.anew is None:
            return True
        costs = costs_of(record)
        return costs is not None and costs.sweep == self.anew

    def is_done(self, run: Identity) -> bool:
        return self.record(run) is not None

    def missing(self, runs: Sequence[Identity]) -> list[Identity]:
        return [run for run in runs if not self.is_done(run)]


def upgraded(identity: Identity) -> Identity:
    """The identity in the form of its method's present version, if the method has a migration for every version between; else the
    identity unchanged."""
    method, config = load_method(identity.method), identity.config
    for version in range(identity.version, method.version):
        if version not in method.migrations:
            return identity
        config = method.migrations[version](dict(config))
    return identity.model_copy(update={"config": config, "version": max(identity.version, method.version)})
