"""Assigns records to the variants of a study by method, preset and changed parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.traces import has_traces
from benchmarks.report.section import Section
from benchmarks.report.settings import agrees
from protocols.study import Study, StudyVariant


def labels_of(study: Study, records: Sequence[Record], failures: Sequence[FailedRun] = ()) -> dict[str, str]:
    """Variant, as named in records and notes of failures -> its label, in the study's order.

    Variants that were not run are left out. If the study names a method without a preset, the preset that was run is taken; if several
    were run, the variant is left out, and `unclear` reports it.
    """
    of_failed = {failed.variant: failed.identity for failed in failures if failed.identity is not None and is_for(study, failed.identity)}
    known = identities_of(study, records)
    known |= {variant: identity for variant, identity in of_failed.items() if variant not in known}
    found: dict[str, str] = {}
    for variant in study.variants:
        own = [name for name, identity in known.items() if is_of(variant, identity)]
        if ":" in variant.method or len(own) == 1:
            found |= dict.fromkeys(own, variant.label)
    return found


def unclear(study: Study, records: Sequence[Record]) -> list[str]:
    """A line for each variant that the study names without a preset, although several presets were run."""
    known = identities_of(study, records)
    lines = []
    for variant in study.variants:
        own = [name for name, identity in known.items() if is_of(variant, identity)]
        if ":" not in variant.method and len(own) > 1:
            lines.append(
                f"{variant.label}: the study says {variant.method}, and there are {', '.join(own)}; write one of them into the study"
            )
    return lines


def identities_of(study: Study, records: Sequence[Record]) -> dict[str, Identity]:
    """Variant -> the identity of one of its runs, of those that are for this study."""
    return {record.identity.variant: record.identity for record in records if is_for(study, record.identity)}


def is_for(study: Study, identity: Identity) -> bool:
    """Whether a run is under the recipe that the study is made for, if it is made for one."""
    return study.recipe in (None, identity.recipe)


def is_of(variant: StudyVariant, identity: Identity) -> bool:
    return names(variant.method, identity) and same_values(variant.set, identity.overrides)


def names(text: str, identity: Identity) -> bool:
    """Whether METHOD[:PRESET][@KIND] is this run's. Without a preset, every preset of the method is meant."""
    method, preset, kind = parts(text)
    return identity.method == method and preset in ("", identity.preset) and kind in (identity.asked_base or "", identity.base)


def parts(text: str) -> tuple[str, str, str]:
    """Method, preset and base kind of METHOD[:PRESET][@KIND]; '' for what is not said."""
    named, _, kind = text.partition("@")
    method, _, preset = named.partition(":")
    return method, preset, kind


def same_values(written: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Whether values from YAML equal values from JSON: 1 equals 1.0, but true does not equal 1."""
    return written.keys() == recorded.keys() and all(agrees(value, recorded[key]) for key, value in written.items())


def shows(study: Study, records: Sequence[Record]) -> bool:
    """Whether a study's page has a section of these records: its reference, another variant, and traces if the study uses probes."""
    found = labels_of(study, records)
    labels = set(found.values())
    own = [record for record in records if record.identity.variant in found and is_for(study, record.identity)]
    seen = not study.probes or any(has_traces(record, study.probes) for record in own)
    return study.reference in labels and len(labels) >= min(2, len(study.variants)) and seen


def without_studied(section: Section, studies: Sequence[Study], elsewhere: Sequence[Record] = ()) -> tuple[Section, set[str]]:
    """The section without the variants of changed parameters that studies show, and the names of these studies.

    A study shows its variants once all of them have records, here or `elsewhere`: on other pages, for this section's recipe and split,
    images and settings. Until then they are in the protocol's own table. Under a recipe that is made for a study, all of its variants are
    left to it from the first on.
    """
    moved: dict[str, str] = {}
    records = [*section.records, *elsewhere]
    for study in studies:
        labels = labels_of(study, records)
        whole = study.recipe is not None
        if shows(study, records) and (whole or set(labels.values()) == {variant.label for variant in study.variants}):
            changed = {variant.label for variant in study.variants if variant.set or whole}
            for variant, label in labels.items():
                if label in changed and variant in section.variants:
                    moved.setdefault(variant, study.name)
    kept = {variant: records for variant, records in section.variants.items() if variant not in moved}
    failures = [failed for failed in section.failures if failed.variant not in moved]
    return replace(section, variants=kept, failures=failures), set(moved.values())
