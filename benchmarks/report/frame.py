"""Records as one pandas frame: a row a run and session, every number a table needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from benchmarks.metrics.catalogue import METRICS, Run
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError

KEPT = {"images_kept": "Images kept", "parameters_added": "Parameters added", "numbers_kept": "Other numbers kept"}
"""What a method carries: prototypes and teachers that are no part of its network are `other numbers` (None in records of schema 1)."""


def run_of(record: Record, session: int | None = None) -> Run:
    """What metrics are computed from: the record up to a session, or all of it."""
    upto = record.sessions[: len(record.sessions) if session is None else session + 1]
    return Run(record.identity.sessions, tuple(s.correct for s in upto), tuple(s.total for s in upto))


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Columns: variant, seed, session, every metric that has a value after each session, and what is kept.

    Refuses a seed that a variant has twice: it would weigh double in every mean.
    """
    runs = Counter((record.identity.variant, record.identity.seed) for record in records)
    if twice := [f"{variant} seed {seed}" for (variant, seed), count in runs.items() if count > 1]:
        raise RecordError(f"{', '.join(twice)}: more than one record; a table takes one a seed")
    rows = []
    for record in records:
        for number, session in enumerate(record.sessions):
            run = run_of(record, number)
            kept = {name: float("nan") if (value := getattr(session, name)) is None else value for name in KEPT}
            values = {entry.name: entry.value(run) for entry in METRICS if entry.over_sessions}
            rows.append({"variant": record.identity.variant, "seed": record.identity.seed, "session": number, **values, **kept})
    return pd.DataFrame(rows)


def label_of(record: Record) -> str:
    """`LEC-Net (paper)`, `LEC-Net (paper, gamma=0.6)`; the title alone where there is only a default.

    A dagger marks what test images have chosen.
    """
    identity = record.identity
    details = [] if identity.preset == "default" else [identity.preset]
    details += [f"{key}={value}" for key, value in sorted(identity.overrides.items())]
    return record.title + (f" ({', '.join(details)})" if details else "") + (" †" if record.selection == "oracle_test" else "")
