"""Records as one pandas frame: a row a run and session, every number a table needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Columns: variant, seed, session, accuracy, base, novel, hm, class_count, images_kept, parameters_added, numbers_kept.

    Refuses a seed that a variant has twice: it would weigh double in every mean.
    """
    runs = Counter((record.identity.variant, record.identity.seed) for record in records)
    if twice := [f"{variant} seed {seed}" for (variant, seed), count in runs.items() if count > 1]:
        raise RecordError(f"{', '.join(twice)}: more than one record; a table takes one a seed")
    rows = []
    for record in records:
        shape = record.identity.sessions
        for number, s in enumerate(record.sessions):
            rows.append(
                {
                    "variant": record.identity.variant,
                    "seed": record.identity.seed,
                    "session": number,
                    "accuracy": metrics.micro(s.correct, s.total),
                    "base": metrics.base_accuracy(s.correct, s.total, shape.base),
                    "novel": metrics.novel_accuracy(s.correct, s.total, shape.base),
                    "hm": metrics.harmonic_mean(s.correct, s.total, shape.base),
                    "class_count": metrics.class_count(s.correct, s.total, shape.span(number).start),
                    "images_kept": s.images_kept,
                    "parameters_added": s.parameters_added,
                    "numbers_kept": float("nan") if s.numbers_kept is None else s.numbers_kept,
                }
            )
    return pd.DataFrame(rows)


def label_of(record: Record) -> str:
    """`LEC-Net (paper)`, `LEC-Net (paper, gamma=0.6)`; the title alone where there is only a default.

    A dagger marks what test images have chosen.
    """
    identity = record.identity
    details = [] if identity.preset == "default" else [identity.preset]
    details += [f"{key}={value}" for key, value in sorted(identity.overrides.items())]
    return record.title + (f" ({', '.join(details)})" if details else "") + (" †" if record.selection == "oracle_test" else "")


def matrix_of(record: Record) -> list[list[float]]:
    """The accuracy matrix: row t, after session t, has the accuracy on the classes of each session j <= t."""
    return [metrics.session_accuracies(record.identity.sessions, s.correct, s.total) for s in record.sessions]
