"""Finds records of methods whose sources have changed since, so that outdated results do not go unnoticed."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.source_hash import same_sources, source_hash
from benchmarks.records.stated import stated_version

Sources = tuple[str, str, tuple[str, ...]]
"""A method, its base kind, and the kinds of the base sessions before."""


def sources_of(identity: Identity) -> Sources:
    return identity.method, identity.base, tuple(stage.base for stage in identity.base_parents)


def files_of(sources: Sources) -> str:
    """The files of a method and of its base kinds, as a message names them."""
    method, base, parents = sources
    kinds = ", ".join(f"bases/{kind}.py" for kind in (base, *parents[::-1]))
    return f"methods/{method}.py, {kinds}, or what they import"


def edited(records: Sequence[Record]) -> list[Record]:
    """Records whose method's sources have changed under the same version. Records without a stored hash are left out."""
    now = {sources: (stated_version(sources[0]), source_hash(*sources)) for sources in {sources_of(record.identity) for record in records}}
    return [record for record in records if is_edited(record, *now[sources_of(record.identity)])]


def is_edited(record: Record, version: int | None, sources: str | None) -> bool:
    """Whether a record has the same version as the method's present file (`version`), but another hash than its `sources`."""
    identity, costs = record.identity, costs_of(record)
    if sources is None or costs is None or costs.sources is None or version != identity.version:
        return False
    return not same_sources(identity.method, identity.version, costs.sources, sources)
