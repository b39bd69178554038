"""From the records of a protocol to the sections of its page: runs that its file describes now, and runs of other settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.records.edited import Versions, edited, other_parts, versions_of
from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from benchmarks.report.settings import difference, flat, named, own_differences, shared_differences, variant_differences
from protocols.schema import Protocol

ORDER = ("base_only", "ft_cnn", "joint_cnn", "icarl", "eeil", "ncm", "topic", "si", "lwf", "der", "lecnet", "proto")
"""Methods in the order of the paper's tables."""
SHARED = ("suite", "data", "augment", "sessions", "backbone", "recipe_settings")
"""Fields of an identity that all rows of a table have in common."""

NOT_TOLD = ("seed", "images", "precision", "defaults", "base_defaults")
"""Fields of an identity that no heading names."""


@dataclass(frozen=True)
class Sections:
    """`current` are described by the protocol's file. `other` have other settings, one section for each."""

    current: list[Section]
    other: list[Section]


def make_sections(protocol: Protocol, records: Sequence[Record], failures: Sequence[FailedRun]) -> Sections:
    """Groups records by recipe, split and all that a table must not mix: data, settings, images, precision.

    Recipes and splits come in the protocol's order. If the seeds of a variant were run with several settings, one of them is in the
    section (`rank` says which), and each of the others has a section of its own; so has a setting that files no longer say.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault(table_of(record.identity), []).append(record)
    current, other = [], []
    for recipe, split, measured in sorted(groups, key=lambda at: (place(at[0], protocol.recipes), place(at[1], protocol.splits), at[2])):
        of_group = groups[recipe, split, measured]
        shared = shared_differences(protocol, of_group[0].identity)
        section, apart = one_section(protocol, Section(recipe, split, {}), of_group, shared)
        if section.variants and shared:
            other.append(replace(section, differs=f"with {named(shared)}"))
        elif section.variants:
            current.append(section)
        other += apart
    taken = [replace(section, failures=beside(section, failures)) for section in current]
    return Sections(told_apart(taken), told_apart(other))


def one_section(protocol: Protocol, empty: Section, records: Sequence[Record], shared: list[str]) -> tuple[Section, list[Section]]:
    """A table's records with one setting per variant, and one section for each other setting."""
    by_variant: dict[str, list[Record]] = {}
    for record in records:
        by_variant.setdefault(record.identity.variant, []).append(record)
    kept, apart = {}, []
    for variant in sorted(by_variant, key=lambda name: (place(name.partition(":")[0], ORDER), name)):
        settings = by_settings(by_variant[variant])
        if len(settings) > 1:  # a rank hashes the method's sources
            settings.sort(key=lambda several: rank(protocol, several))
        best = settings.pop()
        own = own_differences(protocol, best[0])
        if own and not shared:
            apart.append(replace(empty, variants={variant: best}, differs=f"{label_of(best[0])} with {named(own)}"))
        else:
            kept[variant] = best
        for several in settings:
            what = shared + variant_differences(several[0].identity, best[0].identity)
            apart.append(replace(empty, variants={variant: several}, differs=f"{label_of(several[0])} with {named(what)}"))
    return replace(empty, variants=kept), apart


def by_settings(records: Sequence[Record]) -> list[list[Record]]:
    """Records of a variant grouped by setting; each group is ordered by seed."""
    groups: list[list[Record]] = []
    for record in sorted(records, key=lambda record: (record.identity.seed, record.path.parent.name)):
        for group in groups:
            if all(other.identity.same_settings(record.identity) for other in group):
                group.append(record)
                break
        else:
            groups.append([record])
    return groups


def rank(protocol: Protocol, records: Sequence[Record]) -> tuple[bool, bool, Versions, bool, int, int, str]:
    """Sort key of a setting; the table shows the highest. It compares agreement with the files, then whether the method and its base kinds
    have the versions that their files state, and which ones, whether their present sources computed it, the schema of the records, the
    number of seeds, and the digits of the path."""
    identity = records[0].identity
    latest = max(record.schema_version for record in records)
    stated, present = not other_parts(identity), len(edited(records)) < len(records)
    same = not own_differences(protocol, records[0])
    return same, stated, versions_of(identity), present, latest, len(records), identity.digest


def alike(section: Section, records: Sequence[Record]) -> list[Record]:
    """Those of the records that could be in this section's table: of its recipe, split, data, settings, images and precision."""
    of_section = section.records[0].identity
    return [record for record in records if table_of(record.identity) == table_of(of_section)]


def table_of(identity: Identity) -> tuple[str, str, str]:
    """What all rows of one table share: recipe, split, and what they were measured on."""
    return identity.recipe, identity.split, measured_on(identity)


def measured_on(identity: Identity) -> str:
    """A key that all rows of one table share."""
    return f"{identity.model_dump_json(include=set(SHARED))} {images_origin(identity)} {identity.precision}"


def images_origin(identity: Identity) -> str:
    """Hash of the data set, without the part in which the seeds of pseudo-sessions differ."""
    return str(identity.images).partition(" ")[0]


def beside(section: Section, failures: Sequence[FailedRun]) -> list[FailedRun]:
    """The failed runs of a section's own settings. A note without an identity belongs to the recipe and split that it names."""
    found = []
    for failed in failures:
        identity = failed.identity
        if failed.where != f"{section.recipe}.{section.split}":
            continue
        if identity is None:
            found.append(failed)
        elif measured_on(identity) == measured_on(section.records[0].identity):
            rows = section.variants.get(failed.variant)
            if rows is None or rows[0].identity.same_settings(identity):
                found.append(failed)
    return found


def told_apart(sections: Sequence[Section]) -> list[Section]:
    """The sections, with the precision, the images, what else differs, and at last the digits of the path in the names that would be
    alike."""
    result = list(sections)
    for tell in (lambda one, _: f"computed in {one.precision}", lambda one, _: f"on images {images_origin(one)[:8]}", apart, digits):
        names = Counter(section.name for section in result)
        for name in [name for name, count in names.items() if count > 1]:
            alike = [number for number, section in enumerate(result) if section.name == name]
            first = {number: result[number].records[0].identity for number in alike}
            words = {number: tell(one, [other for other in first.values() if other is not one]) for number, one in first.items()}
            if len(set(words.values())) > 1:
                for number in alike:
                    differs = " ".join(filter(None, [result[number].differs, words[number]]))
                    result[number] = replace(result[number], differs=differs)
    return result


def apart(one: Identity, others: Sequence[Identity]) -> str:
    """What differs between a run's settings and those of the others, such as `with lr 0.2 instead of 0.1`; '' if these are of another
    method."""
    if any((other.method, other.preset) != (one.method, one.preset) for other in others):
        return ""
    mine = flat(one.model_dump(mode="json", exclude=set(NOT_TOLD)))
    found = [line for other in others for line in difference(mine, flat(other.model_dump(mode="json", exclude=set(NOT_TOLD))))]
    return f"with {named(list(dict.fromkeys(found)))}" if found else ""


def digits(one: Identity, others: Sequence[Identity]) -> str:
    return one.digest


def place(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Sort key of a name: its position in the order; names that are not in it come last, alphabetically."""
    names = list(order)
    return names.index(name) if name in names else len(names), name
