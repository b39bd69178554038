"""Finds records of methods whose sources have changed since, so that outdated results do not go unnoticed."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records.costs import costs_of
from benchmarks.records.schema import Record
from benchmarks.records.source_hash import same_sources, source_hash
from benchmarks.records.stated import stated_version


def edited(records: Sequence[Record]) -> list[Record]:
    """Records whose method's sources have changed under the same version. Records without a stored hash are left out."""
    kinds = {(record.identity.method, record.identity.base) for record in records}
    now = {(method, base): (stated_version(method), source_hash(method, base)) for method, base in kinds}
    return [record for record in records if is_edited(record, *now[record.identity.method, record.identity.base])]


def is_edited(record: Record, version: int | None, sources: str | None) -> bool:
    """Whether a record has the same version as the method's present file (`version`), but another hash than its `sources`."""
    identity, costs = record.identity, costs_of(record)
    if sources is None or costs is None or costs.sources is None or version != identity.version:
        return False
    return not same_sources(identity.method, identity.version, costs.sources, sources)
