"""Table of metrics by the definitions of other papers, which use the same names (docs/methods.md section 2)."""

from __future__ import annotations

import pandas as pd

from benchmarks.metrics.catalogue import columns
from benchmarks.report.frame import label_of, run_of
from benchmarks.report.section import Section
from benchmarks.report.tables import intervals, markdown

LEFT_OUT = (
    "Means of batches (CEC, FACT, TEEN), which depend on the order of the test images, are left out: on CIFAR-100 and miniImageNet they "
    "are micro."
)


def definitions_table(section: Section) -> str:
    rows, shown = [], columns("definitions")
    for variant, records in section.variants.items():
        block = pd.DataFrame({record.identity.seed: {c.heading: m.value(run_of(record)) for m, c in shown} for record in records}).T
        rows.append([label_of(records[0]), *intervals(variant, block)])
    return markdown(rows, ["Method", *(column.heading for _, column in shown)])


def definitions_legend() -> str:
    entries = [f"{column.heading}: {column.legend}." for _, column in columns("definitions") if column.legend]
    return " ".join(["After the last session unless it says otherwise.", *entries, LEFT_OUT])
