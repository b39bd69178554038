"""Groups the records of a protocol into the sections of its page: those with the settings of its file, and those with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import SUITE_VERSION
from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from protocols.schema import Protocol

ORDER = ("base_only", "ft_cnn", "joint_cnn", "icarl", "eeil", "ncm", "topic", "si", "lwf", "der", "lecnet", "proto")
"""Order of the methods in the paper's tables."""
SHARED = ("suite", "data", "augment", "sessions", "backbone", "recipe_settings")
"""Fields of an identity that all rows of a table have in common."""
MOST_NAMED = 6
"""Largest number of differences that a heading names."""


@dataclass(frozen=True)
class Sections:
    """`current`: sections with the settings of the protocol's file. `other`: one section for each other setting."""

    current: list[Section]
    other: list[Section]


def make_sections(protocol: Protocol, records: Sequence[Record], failures: Sequence[FailedRun]) -> Sections:
    """Groups records by recipe, split and everything that a table must not mix: data, settings, images, precision.

    Recipes and splits come in the protocol's order. If a variant was run with several settings, the section shows one of them (`rank`
    says which), and the others get sections of their own.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        identity = record.identity
        groups.setdefault((identity.recipe, identity.split, measured_on(identity)), []).append(record)
    current, other = [], []
    for recipe, split, measured in sorted(groups, key=lambda at: (place(at[0], protocol.recipes), place(at[1], protocol.splits), at[2])):
        section, apart = one_section(protocol, recipe, split, groups[recipe, split, measured])
        differs = from_file(protocol, section.records[0].identity)
        if differs:
            other.append(replace(section, differs=f"with {differs}"))
        else:
            current.append(section)
        other += apart
    first: dict[tuple[str, str], Section] = {}
    for section in current:
        first.setdefault((section.recipe, section.split), section)
    return Sections([with_rest(section, current, first, failures) for section in current], other)


def with_rest(
    section: Section, current: Sequence[Section], first: Mapping[tuple[str, str], Section], failures: Sequence[FailedRun]
) -> Section:
    """The section with its failed runs, and with its difference from other sections of the same recipe and split."""
    names = (section.recipe, section.split)
    beside = [run for run in failures if run.where == f"{section.recipe}.{section.split}"] if section is first[names] else []
    siblings = [other.records[0].identity for other in current if (other.recipe, other.split) == names]
    identity, differs = section.records[0].identity, []
    if len({other.precision for other in siblings}) > 1:
        differs.append(f"computed in {identity.precision}")
    if len({images_origin(other) for other in siblings}) > 1:
        differs.append(f"on images {images_origin(identity)[:8]}")
    return replace(section, failures=beside, differs=" ".join(differs))


def measured_on(identity: Identity) -> str:
    """Key of everything that the rows of one table have in common."""
    return f"{identity.model_dump_json(include=set(SHARED))} {images_origin(identity)} {identity.precision}"


def images_origin(identity: Identity) -> str:
    """Hash of the data set. For pseudo-sessions, a part that differs between seeds follows it in `images`."""
    return str(identity.images).partition(" ")[0]


def one_section(protocol: Protocol, recipe: str, split: str, records: Sequence[Record]) -> tuple[Section, list[Section]]:
    """The section with one setting per variant, and a section for each other setting."""
    by_variant: dict[str, list[Record]] = {}
    for record in records:
        by_variant.setdefault(record.identity.variant, []).append(record)
    kept, apart = {}, []
    for variant in sorted(by_variant, key=lambda name: (place(name.partition(":")[0], ORDER), name)):
        settings = sorted(by_settings(by_variant[variant]), key=lambda several: rank(protocol, several))
        kept[variant] = settings[-1]
        for several in settings[:-1]:
            what = named(difference(variant_values(several[0].identity), variant_values(kept[variant][0].identity)))
            apart.append(Section(recipe, split, {variant: several}, f"{label_of(several[0])} with {what}"))
    return Section(recipe, split, kept), apart


def by_settings(records: Sequence[Record]) -> list[list[Record]]:
    """Records of a variant grouped by setting; each group is ordered by seed."""
    groups: list[list[Record]] = []
    for record in sorted(records, key=lambda record: (record.identity.seed, record.path.parent.name)):
        group = next((group for group in groups if group[0].identity.same_settings(record.identity)), None)
        if group is None:
            groups.append([record])
        else:
            group.append(record)
    return groups


def rank(protocol: Protocol, records: Sequence[Record]) -> tuple[bool, int, int, int, str]:
    """Sort key of a setting; the table shows the highest. It compares agreement with the protocol's file, then the version of the
    method, the schema of the records, the number of seeds, and the digits of the path."""
    identity = records[0].identity
    latest = max(record.schema_version for record in records)
    return as_recipe_says(protocol, identity), identity.version, latest, len(records), identity.digest


def as_recipe_says(protocol: Protocol, identity: Identity) -> bool:
    """Whether a run has the values that the protocol's recipe gives to its method and its base kind."""
    recipe = protocol.recipes.get(identity.recipe)
    if recipe is None:
        return False
    wanted = {**recipe.methods.get(identity.method, {}), **recipe.methods.get(f"{identity.method}:{identity.preset}", {})}
    config = {key: value for key, value in wanted.items() if key not in identity.overrides}
    return all(identity.config.get(key) == value for key, value in config.items()) and identity.base_recipe == recipe.for_base(
        identity.base
    )


def from_file(protocol: Protocol, identity: Identity) -> str:
    """Text that says how a run's shared settings differ from those of the protocol's file; empty if they are the same."""
    recipe = protocol.recipes.get(identity.recipe)
    if recipe is None:
        return "a recipe that the protocol no longer has"
    if identity.split not in protocol.splits:
        return "a split that the protocol no longer has"
    if identity.suite != SUITE_VERSION:
        return f"version {identity.suite} of the suite"
    described = {"data": protocol.data, "augment": protocol.augment, "sessions": protocol.sessions, "backbone": protocol.backbone}
    now = flat(
        {name: model.model_dump(mode="json") for name, model in described.items()} | {"recipe": recipe.shared.model_dump(mode="json")}
    )
    then = identity.model_dump(mode="json", include=set(described))
    return named(difference(flat({**then, "recipe": identity.recipe_settings.model_dump(mode="json")}), now))


def variant_values(identity: Identity) -> dict[str, Any]:
    """All values that may differ between two settings of one variant."""
    values = {"version": identity.version, "base": identity.base, "base version": identity.base_version}
    return {**values, **identity.config, **flat({"base": identity.base_settings})}


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Flattens nested mappings, with keys joined by spaces: `recipe lr`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{before}{key} ") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Texts such as `recipe lr 0.2 instead of 0.1`, for every value that differs or that only one of them has."""
    missing = "nothing"
    return [
        f"{key} {one.get(key, missing)} instead of {other.get(key, missing)}"
        for key in dict.fromkeys([*one, *other])
        if one.get(key, missing) != other.get(key, missing)
    ]


def named(differences: Sequence[str]) -> str:
    rest = len(differences) - MOST_NAMED
    return ", ".join(differences[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def place(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Sort key of a name: its position in `order`. Names that are not in it come last, in alphabetical order."""
    names = list(order)
    return names.index(name) if name in names else len(names), name
