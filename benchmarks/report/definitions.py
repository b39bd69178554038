"""One table for what other papers print under the same names: the run's counts, by their definitions (methods.md section 2)."""

from __future__ import annotations

import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.records.schema import Record
from benchmarks.report.frame import label_of, matrix_of
from benchmarks.report.section import Section
from benchmarks.report.tables import intervals, markdown

EXPLAINED = (
    "After the last session unless it says otherwise. Micro: over images, as everywhere else in this suite. Class-count: micro inside old "
    "classes and inside the session's own, weighed by their numbers of classes (TOPIC, LEC-Net). Macro: mean over classes (TEEN, OrCo). HM "
    "macro: of base and all novel classes, each macro (`hm_base_novel_macro`: TEEN, OrCo). HM old/new: of all classes before the session "
    "and its own, micro (`hm_old_new_micro`: FSCIL-Calibration). KR: last over first accuracy. gAcc: mean over sessions, the base's weight "
    "going from none to that of its classes (Revisiting FSCIL). Means of batches (CEC, FACT, TEEN), which depend on the order of the test "
    "images, are left out: on CIFAR-100 and miniImageNet they are micro."
)


def definitions_of(record: Record) -> dict[str, float]:
    """A record's last session, by every definition."""
    shape, last, matrix = record.identity.sessions, record.sessions[-1], matrix_of(record)
    accuracies = [metrics.micro(session.correct, session.total) for session in record.sessions]
    old = shape.span(len(record.sessions) - 1).start
    return {
        "Micro": accuracies[-1],
        "Class-count": metrics.class_count(last.correct, last.total, old),
        "Macro": metrics.macro(last.correct, last.total),
        "HM": metrics.harmonic_mean(last.correct, last.total, shape.base),
        "HM macro": metrics.hm_base_novel_macro(last.correct, last.total, shape.base),
        "HM old/new": metrics.hm_old_new_micro(last.correct, last.total, old),
        "KR": metrics.knowledge_retention(accuracies),
        "gAcc": metrics.generalised_accuracy(matrix, shape.base, shape.way),
    }


def definitions_table(section: Section) -> str:
    rows, header = [], [""]
    for variant, records in section.variants.items():
        block = pd.DataFrame({record.identity.seed: definitions_of(record) for record in records}).T
        rows.append([label_of(records[0]), *intervals(variant, block)])
        header = ["Method", *block.columns]
    return markdown(rows, header)
