"""Decides whether a run is done. No other code decides this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.records.costs import costs_of
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import has_traces
from methods.contract.loading import load_base_kind, load_method
from methods.contract.registry import base_kind_names

if TYPE_CHECKING:
    from methods.contract.base_kind import BaseKind
    from methods.contract.strategy import SessionStrategy

Probes = Mapping[str, tuple[str, ...]]
"""Probes that studies need (benchmarks.running.probes), by `but_for_seed`."""


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

    def records(self, runs: Iterable[Identity]) -> list[Record]:
        """The records of those runs that are done, in the order of the runs."""
        return [record for run in runs if (record := self.record(run)) is not None]

    def _counts(self, record: Record, run: Identity) -> bool:
        if not has_traces(record, self.probes_of(run)):
            return False
        if self.anew is None:
            return True
        costs = costs_of(record)
        return costs is not None and costs.sweep == self.anew

    def probes_of(self, run: Identity) -> tuple[str, ...]:
        return self.probes.get(but_for_seed(run), ())

    def is_done(self, run: Identity) -> bool:
        return self.record(run) is not None

    def missing(self, runs: Sequence[Identity]) -> list[Identity]:
        return [run for run in runs if not self.is_done(run)]


def but_for_seed(run: Identity) -> str:
    """Equal for runs of one command that differ in the seed alone. The variant is not enough: two recipes may have it."""
    return f"{run.group}/{run.variant}"


def upgraded(identity: Identity) -> Identity:
    """The identity in the form of the present versions of its method and its base kinds, each as far as there are migrations for it."""
    config, version = moved_on(identity.config, identity.version, load_method(identity.method))
    *parents, own = (upgraded_stage(stage) for stage in identity.stages)
    changes = {"base_config": own.config, "base_version": own.version, "base_parents": tuple(parents)}
    return identity.model_copy(update={"config": config, "version": version, **changes})


def upgraded_stage(stage: BaseStage) -> BaseStage:
    if stage.base not in base_kind_names():  # a kind that is gone
        return stage
    config, version = moved_on(stage.config, stage.version, load_base_kind(stage.base))
    return stage.model_copy(update={"config": config, "version": version})


def moved_on(config: dict[str, Any], version: int, owner: type[SessionStrategy] | type[BaseKind]) -> tuple[dict[str, Any], int]:
    """Config values in the form of the owner's present version, and that version. Both unchanged if a migration between is missing."""
    values = config
    for passed in range(version, owner.version):
        if passed not in owner.migrations:
            return config, version
        values = owner.migrations[passed](dict(values))
    return values, max(version, owner.version)
