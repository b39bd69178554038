"""Sections of one base session each, and the table that holds a row against Proto on the same base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.metrics.catalogue import tested
from benchmarks.metrics.statistics import mean_and_half_width
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.records.schema import Record
from benchmarks.records.stated import stated_presets
from benchmarks.report.cells import NONE, intervals, too_few
from benchmarks.report.frame import label_of
from benchmarks.report.ranking import against
from benchmarks.report.section import Section
from benchmarks.report.tables import markdown

CONTROLS = ("base_only", "proto")
"""Methods that stand beside all others on the same base: one does nothing, the other only takes class means."""
LEGEND = (
    "After the last session, over all classes seen. What a recipe changes for a base session stands in its heading below. − Proto: the row "
    "minus Proto on the same base session, in points, mean over the seeds that both have ± its 95 % interval. Rows on different base "
    "sessions are not ranked and not tested against each other: the tests, corrected for their number, are in the sections below, one for "
    "each base session."
)


def by_base(section: Section) -> list[Section]:
    """The section parted by base session, in alphabetical order of their names. A failed run goes to its own base session."""
    parts: list[dict[str, list[Record]]] = []
    for variant, records in section.variants.items():
        base = records[0].identity
        for part in parts:
            if next(iter(part.values()))[0].identity.same_base(base):
                part[variant] = records
                break
        else:
            parts.append({variant: records})
    found = []
    for part in parts:
        base = next(iter(part.values()))[0].identity
        failures = [
            failed
            for failed in section.failures
            if (failed.variant in part if failed.identity is None else failed.identity.same_base(base))
        ]
        differs = ", ".join(filter(None, [section.differs, f"base {in_words(base)}"]))
        found.append(replace(section, variants=part, differs=differs, failures=failures))
    return sorted(found, key=lambda part: part.differs)


def several_bases(section: Section) -> str:
    """Sentence naming the rows that stand on another base session than most; empty if all stand on one."""
    rows: dict[str, list[str]] = {}
    for records in section.variants.values():
        rows.setdefault(in_words(records[0].identity, recipe=False), []).append(label_of(records[0]))
    most = max(rows, key=lambda base: len(rows[base]))
    others = "; ".join(f"{', '.join(labels)} on {base}" for base, labels in rows.items() if base != most)
    return f"Base session of {len(rows[most])} rows: {most}; of others: {others}." if others else ""


def in_words(identity: Identity, recipe: bool = True) -> str:
    """The base sessions of a run, the first one first, such as `linear → cosine, scale 16.0, scale_learns false`."""
    return " → ".join(stage_in_words(stage, recipe) for stage in identity.stages)


def in_short(parts: Sequence[Section]) -> list[str]:
    """The base session of each part without what the recipe changes for it, which its heading says; with it where two would read alike."""
    identities = [part.records[0].identity for part in parts]
    short = [in_words(identity, recipe=False) for identity in identities]
    return [text if short.count(text) == 1 else in_words(identity) for text, identity in zip(short, identities, strict=True)]


def stage_in_words(stage: BaseStage, recipe: bool = True) -> str:
    """The kind of a base session, its settings that are not defaults, and with `recipe` what the recipe changes for it."""
    version = [f"version {stage.version}"] if stage.version > 1 else []
    own = [f"{key} {value_in_words(value)}" for key, value in sorted(stage.changed.items())]
    trained = ", ".join(f"{key} {value_in_words(value)}" for key, value in sorted(stage.settings.items())) if recipe else ""
    return ", ".join([stage.base, *version, *own, *([f"trained with {trained}"] if trained else [])])


def value_in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def is_control(record: Record) -> bool:
    """Whether a run is of a method that stands beside all others, with its own settings as they are."""
    identity = record.identity
    return identity.method in CONTROLS and all("." in key for key in identity.overrides)  # cosine.scale is the base kind's


def control(section: Section, method: str) -> str | None:
    """The row of this control, of its first preset if that was run; None if there is none."""
    found = [name for name, records in section.variants.items() if records[0].identity.method == method and is_control(records[0])]
    first = next(iter(stated_presets(method) or {}), None)
    return min(found, key=lambda name: section.variants[name][0].identity.preset != first) if found else None


def overview(parts: Sequence[Section]) -> str:
    """Table of all rows of one recipe and split: which base session each stands on, and what it gains over Proto there."""
    rows = []
    for part, base in zip(parts, in_short(parts), strict=True):
        proto = control(part, "proto")
        gains = {name: gains_over(proto, part, name) for name in tested()}
        for variant, records in part.variants.items():
            block = part.last[part.last["variant"] == variant].set_index("seed")[list(tested())]
            seeds = part.seeds_cell(len(records), part.failed(variant))
            cells = [*intervals(variant, block), *(gains[name].get(variant, NONE) for name in tested())]
            rows.append([label_of(records[0]), base, seeds, *cells])
        failed = ["failed"] * (2 * len(tested()))
        rows += [[label, base, part.seeds_cell(0, count), *failed] for label, count in part.failed_rows().items()]
    titles = list(tested().values())
    return markdown(rows, ["Method", "Base session", "Seeds", *titles, *(f"{title} − Proto" for title in titles)])


def gains_over(reference: str | None, section: Section, metric: str) -> dict[str, str]:
    """Cells such as `+1.20 ± 0.41`, each row minus the reference; the mean alone for one seed, `+1.20 (2 seeds)` for two."""
    if reference is None:
        return {}
    cells = {}
    for variant, pair in against(reference, section.scores(metric)).items():
        if len(pair.differences):
            mean, width = mean_and_half_width(list(pair.differences))
            cells[variant] = f"{mean:+.2f}" + ("" if np.isnan(width) else f" ± {width:.2f}") + too_few(len(pair.differences))
    return cells
