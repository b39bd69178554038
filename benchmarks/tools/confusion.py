"""`--confusion METHOD`: which sessions' classes a method takes for which, from kept predictions. It loads neither torch nor a method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.records.predictions import origin_confusion, own_predictions
from benchmarks.records.store import Store
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from benchmarks.report.sections import make_sections
from benchmarks.system.errors import RecordError
from protocols.messages import unknown
from protocols.schema import Protocol


def confusion(protocol: Protocol, method: str, results: Path) -> str:
    """For each recipe and split, and each preset of the method unless one is named: after the last session, counts of test images, a row
    for each session that brought the true class, a column for each that brought the predicted one, summed over seeds.

    Raises RecordError where there are no such records, or none of them has its predictions.
    """
    records, _, failures = Store(results).load(protocol.name)
    sections = make_sections(protocol, records, failures).current
    known = dict.fromkeys(name for section in sections for variant in section.variants for name in (variant.partition(":")[0], variant))
    if method not in known:
        where = f"{results}: {protocol.name}: "
        raise RecordError(where + (unknown("method with records", method, list(known)) if known else "no records"))
    texts = []
    for section in sections:
        for variant in section.variants:
            if method in (variant, variant.partition(":")[0]):
                texts += of_variant(section, variant)
    if not texts:
        raise RecordError(
            f"{results}: no predictions of {method} are kept (git keeps none); run it again with --force, and they lie beside the records"
        )
    return "\n\n".join(texts)


def of_variant(section: Section, variant: str) -> list[str]:
    """The table of one variant; empty if none of its runs has its predictions."""
    found, records = {}, section.variants[variant]
    for record in records:
        if (packed := own_predictions(record)) is not None:
            found[record.identity.seed] = origin_confusion(packed, record.identity.sessions)
    if not found:
        return []
    counts = np.sum(list(found.values()), axis=0)
    whole = len(found) == len(records)
    seeds = f"{len(found)} seed{'s' * (len(found) > 1)}" if whole else f"{len(found)} of {len(records)} seeds, those with predictions"
    head = ["of session", *(f"as {t}" for t in range(len(counts))), "right origin"]
    rows = [head]
    for number, row in enumerate(counts):
        share = f"{100 * row[number] / row.sum():.1f} %" if row.sum() else "–"
        rows.append([str(number), *(f"{count:,}" for count in row), share])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    said = f"{label_of(records[0])}, recipe {section.recipe}, split {section.split}{', ' + section.differs if section.differs else ''}"
    return ["\n".join([f"{said}: images after the last session, summed over {seeds}", "", *lines])]
