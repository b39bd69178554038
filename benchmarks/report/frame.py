"""Records as one pandas frame: one row per run and session, with every number that a table needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from benchmarks.metrics.catalogue import METRICS, Run
from benchmarks.records.identity import run_name
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError
from protocols.data import Data

KEPT = {"images_kept": "Images kept", "parameters_added": "Parameters added", "numbers_kept": "Other numbers kept"}
"""Fields that say what a method keeps, and their headings. Other numbers: e.g. prototypes and teachers outside its network (None in
records of schema 1)."""


def run_of(record: Record, session: int | None = None) -> Run:
    """The input of metrics: the record up to session number `session`, or all of it."""
    upto = record.sessions[: len(record.sessions) if session is None else session + 1]
    return Run(record.identity.sessions, tuple(s.correct for s in upto), tuple(s.total for s in upto))


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Frame with columns variant, seed, session, every metric that has a value after each session, and the fields of KEPT.

    Raises RecordError if a variant has two records of one seed, which would count twice in every mean.
    """
    runs = Counter((record.identity.variant, record.identity.seed) for record in records)
    if twice := [run_name(variant, seed) for (variant, seed), count in runs.items() if count > 1]:
        raise RecordError(f"{', '.join(twice)}: more than one record; a table takes one a seed")
    rows = []
    for record in records:
        for number, session in enumerate(record.sessions):
            run = run_of(record, number)
            kept = {name: float("nan") if (value := getattr(session, name)) is None else value for name in KEPT}
            values = {entry.name: entry.value(run) for entry in METRICS if entry.over_sessions}
            rows.append({"variant": record.identity.variant, "seed": record.identity.seed, "session": number, **values, **kept})
    return pd.DataFrame(rows)


def contaminated(data: Data) -> bool:
    """Whether what is shown are features of a network that nobody says has not seen the novel classes."""
    return data.features is not None and data.features.novel_seen != "no"


def label_of(record: Record) -> str:
    """Label such as `LEC-Net (paper)`, `LEC-Net (paper, gamma=0.6)` or, on another base kind, `Proto (raw_mean, on cosine)`; only the
    title for preset `default` without changes.

    A dagger marks runs whose epochs were chosen on test images, a double dagger those whose base session knew all classes, § those on
    stored features of a network that has, or may have, seen the novel classes.
    """
    identity = record.identity
    details = [] if identity.preset == "default" else [identity.preset]
    details += [f"on {identity.asked_base}"] if identity.asked_base else []
    details += [f"{key}={value}" for key, value in sorted(identity.overrides.items())]
    marks = (" †" if record.selection == "oracle_test" else "") + (" ‡" if record.knows_all_classes else "")
    marks += " §" if contaminated(identity.data) else ""
    return record.title + (f" ({', '.join(details)})" if details else "") + marks


def same_answers(records: Sequence[Record]) -> bool:
    """Whether all runs predicted the same: seeds between which nothing was drawn, one run that was done several times."""
    return len({(record.predictions_sha256, *(session.correct for session in record.sessions)) for record in records}) == 1
