"""Records as one pandas frame: a row a run and session, every number a table needs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmarks import metrics
from benchmarks.records import Record


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Columns: variant, seed, session, accuracy, base, novel, hm, class_count, images_kept, parameters_added."""
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
                }
            )
    return pd.DataFrame(rows)


def label_of(record: Record) -> str:
    """`LEC-Net (paper)`, `LEC-Net (paper, gamma=0.6)`; the title alone where there is only a default."""
    identity = record.identity
    details = [] if identity.preset == "default" else [identity.preset]
    details += [f"{key}={value}" for key, value in sorted(identity.overrides.items())]
    return record.title + (f" ({', '.join(details)})" if details else "")


def forgetting_of(record: Record) -> float:
    """Mean drop of each session's classes from their best accuracy to their last (metrics.forgetting)."""
    shape = record.identity.sessions
    groups = []
    for number, s in enumerate(record.sessions):
        spans = [shape.span(j) for j in range(number + 1)]
        groups.append([metrics.micro(s.correct[g.start : g.stop], s.total[g.start : g.stop]) for g in spans])
    return metrics.forgetting(groups)
