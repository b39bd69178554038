"""Finds records whose method or base kinds have changed since, so that outdated results do not go unnoticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.source_hash import same_sources, source_hash
from benchmarks.records.stated import stated_kind_version, stated_version

Sources = tuple[str, str, tuple[str, ...]]
"""A method, its base kind, and the kinds of the base sessions before."""
Versions = tuple[int | None, int | None, tuple[int | None, ...]]
"""Of the same three."""
Present = tuple[Versions, str | None]
"""The versions that the present files state, and the hash of these files; None where it cannot be had."""


def sources_of(identity: Identity) -> Sources:
    return identity.method, identity.base, tuple(stage.base for stage in identity.base_parents)


def files_of(sources: Sources) -> str:
    """The files of a method and of its base kinds, as a message names them."""
    method, base, parents = sources
    kinds = ", ".join(f"bases/{kind}.py" for kind in (base, *parents[::-1]))
    return f"methods/{method}.py, {kinds}, or what they import"


def versions_of(identity: Identity) -> Versions:
    """Versions with which a run was done: of its method, of its base kind, and of the kinds of the base sessions before."""
    return identity.version, identity.base_version, tuple(stage.version for stage in identity.base_parents)


def present_versions(sources: Sources) -> Versions:
    """The versions that the present files state; None where one cannot be read."""
    method, base, parents = sources
    return stated_version(method), stated_kind_version(base), tuple(map(stated_kind_version, parents))


def other_parts(identity: Identity) -> list[tuple[str, int]]:
    """What had another version when this was run, such as `version 1 of its method`, with its present version."""
    parts = ["its method", *(f"the base kind {stage.base}" for stage in (identity.stages[-1], *identity.base_parents))]
    (method, base, parents), (now, base_now, parents_now) = versions_of(identity), present_versions(sources_of(identity))
    versions = zip(parts, (method, base, *parents), (now, base_now, *parents_now), strict=True)
    return [(f"version {then} of {part}", later) for part, then, later in versions if later is not None and then != later]


def present(sources: Sources) -> Present:
    return present_versions(sources), source_hash(*sources)


def present_of(records: Sequence[Record]) -> dict[Sources, Present]:
    """What the present files say of the sources of these records."""
    return {sources: present(sources) for sources in {sources_of(record.identity) for record in records}}


def edited(records: Sequence[Record], known: Mapping[Sources, Present] | None = None) -> list[Record]:
    """Records whose sources have changed under the same versions. Records without a stored hash are left out. `known` is what
    `present_of` says of them, where that is known."""
    now = present_of(records) if known is None else known
    return [record for record in records if is_edited(record, *now[sources_of(record.identity)])]


def is_edited(record: Record, versions: Versions, sources: str | None) -> bool:
    """Whether a record has the versions of the present files, but another hash than their `sources`."""
    identity, costs = record.identity, costs_of(record)
    if sources is None or costs is None or costs.sources is None or versions != versions_of(identity):
        return False
    return not same_sources(identity.method, identity.version, costs.sources, sources)
