"""Table of metrics by the definitions of other papers, which use the same names (docs/methods.md section 2)."""

from __future__ import annotations

import pandas as pd

from benchmarks.metrics.catalogue import columns
from benchmarks.report.cells import intervals
from benchmarks.report.frame import label_of, run_of
from benchmarks.report.section import Section
from benchmarks.report.tables import markdown

LEFT_OUT = (
    "Means of batches (CEC, FACT, TEEN), which depend on the order of the test images, are left out: on CIFAR-100 and miniImageNet they "
    "are micro."
)


def definitions_blocks(section: Section) -> dict[str, pd.DataFrame]:
    """For every variant: one row a seed, one column a metric, named by its heading."""
    shown = columns("definitions")
    return {
        variant: pd.DataFrame({record.identity.seed: {c.heading: m.value(run_of(record)) for m, c in shown} for record in records}).T
        for variant, records in section.variants.items()
    }


def definitions_table(section: Section) -> str:
    blocks = definitions_blocks(section)
    rows = [[label_of(section.variants[variant][0]), *intervals(variant, block)] for variant, block in blocks.items()]
    return markdown(rows, ["Method", *(column.heading for _, column in columns("definitions"))])


def definitions_legend() -> str:
    entries = [f"{column.heading}: {column.legend}." for _, column in columns("definitions") if column.legend]
    return " ".join(["After the last session unless it says otherwise.", *entries, LEFT_OUT])
