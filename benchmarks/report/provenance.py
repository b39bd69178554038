"""Where a section's rows come from: bullets on seeds, base sessions, backbone, machines and images."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.accuracy import sampling_half_width
from benchmarks.records.costs import costs_of
from benchmarks.records.edited import edited, files_of, other_parts, present_of, sources_of
from benchmarks.records.identity import Identity
from benchmarks.records.predictions import own_predictions
from benchmarks.records.schema import Record
from benchmarks.report.bases import in_words
from benchmarks.report.environments import environment_lines
from benchmarks.report.frame import label_of
from benchmarks.report.printed import origin_of
from benchmarks.report.section import Section
from protocols.schema import DRAWN_ORDERS

NAMED_WHERE_CHANGED = {"dampening", "floor", "optimizer", "ramp_epochs", "ramp_from", "stored_views", "trains"}
"""Settings of a base session that a page names only if they are not at their defaults."""


def drawn_by_a_seed(identity: Identity) -> str:
    """What differs between the seeds of a split, and so lies under a row's ±, in words."""
    if identity.split == "canonical":
        return "one class order and one draw of shots for all of them, so that ± holds the randomness of training alone"
    order = "a class order of its own" if identity.split in DRAWN_ORDERS else "the order of the labels"
    return f"each has {order}" + ("" if identity.sessions.shots == "all" else " and its own draw of shots")


def changed_sources(of_variant: Sequence[Record]) -> list[str]:
    """Bullets on a row whose sources have changed since, or cannot be read, or are at another version now."""
    label, sources = label_of(of_variant[0]), sources_of(of_variant[0].identity)
    present, lines = present_of(of_variant), []
    if stale := edited(of_variant, present):
        seeds = ", ".join(str(record.identity.seed) for record in stale)
        lines.append(f"- **The sources of {label} have changed since seed {seeds} was run, under the same version.**")
    _, present_hash = present[sources]
    if present_hash is None:
        lines.append(
            f"- Whether the sources of {label} have changed since is not known: {files_of(sources)} could not be read when this page was "
            "written (own methods are found with `--methods-dir`)."
        )
    others = other_parts(of_variant[0].identity)
    return lines + [f"- **{label} was run by {part}**, which is at version {now} now." for part, now in others]


def provenance(section: Section) -> list[str]:
    """Bullets on seeds, missing runs, changed sources, base session, backbone, environments, images, equal ones among them, and kept
    predictions."""
    records = section.records
    seeds = section.seeds
    lines = [f"- Seeds: {', '.join(map(str, seeds))}; {drawn_by_a_seed(records[0].identity)}."]
    for of_variant in section.variants.values():
        missing = sorted(set(seeds) - {record.identity.seed for record in of_variant})
        if missing:
            lines.append(f"- **{label_of(of_variant[0])} lacks seed {', '.join(map(str, missing))}**: its mean is over the others.")
    for of_variant in section.variants.values():
        lines += changed_sources(of_variant)
    images = sum(records[0].sessions[-1].total)
    width = sampling_half_width(50.0, images)
    lines.append(f"- Beside the spread over seeds, {images:,} test images put ± {width:.2f} points (95 %) on a last accuracy near 50 %.")
    recipe = records[0].identity.recipe_settings
    settings = recipe.model_dump(mode="json", exclude=NAMED_WHERE_CHANGED) | recipe.model_dump(mode="json", exclude_defaults=True)
    lines.append("- Base session: " + ", ".join(f"{key} {settings[key]}" for key in sorted(settings)) + ".")
    for of_variant in section.variants.values():
        identity = of_variant[0].identity
        if any(stage.settings for stage in identity.base_parents):
            lines.append(f"- {label_of(of_variant[0])} starts from {in_words(identity)}.")
        elif own := identity.base_settings:
            changed = ", ".join(f"{key} {value}" for key, value in own.items())
            lines.append(f"- {label_of(of_variant[0])} starts from a base trained with {changed}.")
    backbone = records[0].identity.backbone
    of_file = f" (source {backbone.source[:16]})" if backbone.source else ""
    lines.append(f"- Backbone: {backbone.name}{of_file}, {origin_of(backbone, records[0].identity.data)}.")
    lines += environment_lines(records)
    lines.append(f"- Images: sha256 {', '.join(sorted({record.images_sha256[:16] for record in records}))}.")
    found = {one for record in records if (costs := costs_of(record)) is not None for one in costs.equal_pictures}
    lines += [f"- Equal images: {one}." for one in sorted(found)]
    kept = sum(own_predictions(record) is not None for record in records)
    lines.append(
        f"- When this page was written, {kept} of these {len(records)} records had their predictions beside them, so that `--verify` can "
        f"count again; the other {len(records) - kept} carry counts alone (git keeps no predictions), held by their seal and their split."
    )
    return lines
