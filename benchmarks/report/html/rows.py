"""One row of the page as JSON: what its table shows, and what opens with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.metrics.catalogue import METRICS, columns, tested
from benchmarks.records.edited import edited
from benchmarks.records.predictions import origin_confusion, own_predictions
from benchmarks.records.schema import Record
from benchmarks.report.bases import in_words
from benchmarks.report.blocks import Block
from benchmarks.report.cells import measured
from benchmarks.report.command import repeating
from benchmarks.report.costs import by_processor, with_costs
from benchmarks.report.environments import environment_of
from benchmarks.report.frame import label_of, run_of
from benchmarks.report.html.numbers import Number, number
from benchmarks.report.html.pairs import standing
from benchmarks.report.printed import notes_on
from benchmarks.report.sections import SHARED
from benchmarks.report.tables import contested_last, last_block, printed, session_blocks, winners
from benchmarks.report.verdict import judge
from protocols.printed import PublishedRow

Row = dict[str, Any]
DRAWN = {entry.name: entry.figure for entry in METRICS if entry.figure}
"""Metrics of the curves, and their titles."""
ENDS = ("Average", "PD")


def rows_of(block: Block) -> list[Row]:
    """The rows of a block, in the order of its page."""
    section, shown = block.section, block.shown
    last = {variant: last_block(section, variant, "last") for variant in section.variants}
    sessions = session_blocks(section)
    bold: dict[str, str] = {}
    places = dict.fromkeys(section.variants, "not ranked")
    if block.current and shown.variants:
        bold, places = winners(shown, last, contested_last()), places | standing(shown)
    stale = {id(record) for record in edited(section.records)}
    rows = []
    for variant, records in section.variants.items():
        ends = measured(variant, sessions[variant][list(ENDS)])
        cells = {name: pair_of(interval) for name, interval in (measured(variant, last[variant]) | ends).items()}
        studies = block.studied.get(variant, [])
        state = "other settings" if not block.current else "study" if studies else "table"
        rows.append(
            {
                "variant": variant,
                "label": label_of(records[0]),
                "method": records[0].identity.method,
                "state": state,
                "studies": studies,
                "standing": places[variant] if state == "table" else "not ranked",
                "bold": [name for name, winner in bold.items() if winner == variant],
                "seeds": section.seeds_cell(len(records), section.failed(variant)),
                "last": cells,
                "curves": curves(block, variant),
                "matrix": matrix(records),
                "verdicts": [verdict(row, records) for row in block.published if block.current and printed(row, records[0])],
                "cost": cost(records),
                "edited": [record.identity.seed for record in records if id(record) in stale],
                **origin(block, records),
                "confusion": confusion(records),
            }
        )
    return rows


def pair_of(interval: tuple[float, float]) -> list[Number]:
    return [number(value) for value in interval]


def curves(block: Block, variant: str) -> dict[str, list[list[Number]]]:
    """Metric that is drawn or tested -> mean and half-width after each session; both None before it has a value."""
    frame = block.section.frame
    own = frame[frame["variant"] == variant]
    return {
        name: [pair_of(interval) for interval in measured(variant, own.pivot(index="seed", columns="session", values=name)).values()]
        for name in (*DRAWN, *(name for name in tested() if name not in DRAWN))
    }


def matrix(records: Sequence[Record]) -> list[list[Number]]:
    """Row t, column j: after session t, mean accuracy on the classes of session j."""
    several = [run_of(record).matrix for record in records]
    return [[number(float(np.mean([one[t][j] for one in several])), 2) for j in range(t + 1)] for t in range(len(several[0]))]


def verdict(row: PublishedRow, records: Sequence[Record]) -> dict[str, Any]:
    said = judge(row, records)
    return {
        "row": f"{row.label}, {row.source}",
        "accuracy": [number(value, 2) for value in row.accuracy],
        "word": said.word,
        "reason": said.reason,
        "gap": number(said.gap, 2),
        "notes": [*notes_on(row, records[0]), *filter(None, [row.note, row.misprint])],
    }


def cost(records: Sequence[Record]) -> dict[str, Any] | None:
    """What the runs of the processor that did the most of them cost; None if no cost file is left."""
    known = by_processor(with_costs(records))
    if not known:
        return None
    most = known[0]
    return {
        "processor": most.processor,
        "seeds": most.seeds,
        "base": None if most.base is None else number(most.base, 1),
        "training": number(most.training, 1),
        "testing": number(most.testing, 1),
        "memory": number(most.memory, 0),
    }


def origin(block: Block, records: Sequence[Record]) -> dict[str, Any]:
    """What the runs were: settings, base session, environments, seeds, and the command that repeats them."""
    identity = records[0].identity
    environments: dict[str, list[int]] = {}
    for record in records:
        environments.setdefault(environment_of(record), []).append(record.identity.seed)
    return {
        "settings": identity.config,
        "changed": identity.overrides,
        "base": in_words(identity),
        "version": identity.version,
        "environments": [[text, seeds] for text, seeds in sorted(environments.items())],
        "run": [record.identity.seed for record in records],
        "command": repeating(identity, [record.identity.seed for record in records]) if block.current else None,
    }


def shared_settings(record: Record) -> dict[str, Any]:
    """Settings that all rows of a block have in common."""
    return record.identity.model_dump(mode="json", include={*SHARED, "images", "precision"})


def confusion(records: Sequence[Record]) -> dict[str, Any] | None:
    """After the last session, percent of the images of each session's classes that were taken for one of each session's; over the runs
    whose predictions are kept. None if there are none."""
    kept = [(record, packed) for record in records if (packed := own_predictions(record)) is not None]
    found = [origin_confusion(packed, record.identity.sessions) for record, packed in kept]
    if not found:
        return None
    counts = np.sum(found, axis=0)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return {"seeds": len(found), "percent": [[number(float(value), 2) for value in row] for row in shares]}


def headings() -> list[str]:
    """Columns of the table after the last session, those that are tested first, with those of its ends."""
    first = list(tested())
    shown = sorted(columns("last"), key=lambda pair: first.index(pair[0].name) if pair[0].tested else len(first))
    return [*(column.heading for _, column in shown), *ENDS]
