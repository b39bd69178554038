"""Records of methods whose sources have changed since: an edited method must not return old numbers in silence."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records.costs import costs_of
from benchmarks.records.schema import Record
from benchmarks.records.source_hash import same_sources, source_hash, stated_version


def edited(records: Sequence[Record]) -> list[Record]:
    """Those whose method computes otherwise now, by its sources, under the same version. Where no hash was kept, nothing is said."""
    now = {method: (stated_version(method), source_hash(method)) for method in {record.identity.method for record in records}}
    return [record for record in records if is_edited(record, *now[record.identity.method])]


def is_edited(record: Record, version: int | None, sources: str | None) -> bool:
    """Against the version and the hash of the method as its file stands now."""
    identity, costs = record.identity, costs_of(record)
    if sources is None or costs is None or costs.sources is None or version != identity.version:
        return False
    return not same_sources(identity.method, identity.version, costs.sources, sources)
