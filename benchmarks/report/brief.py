"""The short table of some runs: what a command ends with, and what the Python interface returns."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.records.schema import Record
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from benchmarks.report.sections import measured_on
from benchmarks.system.errors import RecordError

SHORTEST = 16  # letters of a method's name that stay, however narrow the terminal


def brief(records: Sequence[Record]) -> pd.DataFrame:
    """Frame with one row per variant, in the order of the records: seeds, mean accuracy after each session, their average, PD (first minus
    last accuracy) and the last session's harmonic mean of base and novel accuracy, all in percent.

    Raises RecordError for records of several protocols, recipes or splits, of a variant in several precisions, settings or images, or for
    two records of one run.
    """
    identities = [record.identity for record in records]
    tables = dict.fromkeys((identity.protocol, identity.recipe, identity.split) for identity in identities)
    if len(tables) != 1:
        named = "; ".join(f"{protocol}, recipe {recipe}, split {split}" for protocol, recipe, split in tables)
        raise RecordError(f"a table holds records of one protocol, recipe and split, not of {named or 'none'}")
    variants: dict[str, list[Record]] = {}
    for record in records:
        variants.setdefault(record.identity.variant, []).append(record)
    for variant, of_variant in variants.items():
        first = of_variant[0].identity
        if len(precisions := sorted({str(record.identity.precision) for record in of_variant})) > 1:
            raise RecordError(f"a mean is over seeds alone, and {variant} was run in {' and '.join(precisions)}: take the records of one")
        if not all(record.identity.same_settings(first) and measured_on(record.identity) == measured_on(first) for record in of_variant):
            raise RecordError(f"a mean is over seeds alone, and {variant} was run under several settings, or on other images")
    section = Section(identities[0].recipe, identities[0].split, variants)
    rows = {}
    for variant, of_variant in variants.items():
        curves, last = section.curves(variant).mean(), section.last[section.last["variant"] == variant]
        rows[label_of(of_variant[0])] = {
            "Seeds": len(of_variant),
            **curves,
            "Average": curves.mean(),
            "PD": metrics.performance_drop(list(curves)),
            "Harmonic mean": last["hm"].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Method")


def fitted(table: pd.DataFrame, seeds: int, width: int) -> str:
    """The table as lines of at most `width` characters, if it can be: first and last session, average and harmonic mean, and as many of the
    sessions between as fit; then names are cut, and no figure. A row with fewer than `seeds` seeds says so."""
    sessions = [name for name in table.columns if name.isdecimal()]
    cells = table.drop(columns=["Seeds", "PD"]).map("{:.1f}".format)
    cells.insert(0, "Seeds", [f"{count}" if count == seeds else f"{count} of {seeds}" for count in table["Seeds"]])
    text = lines(cells)
    for name in sessions[-2:0:-1]:
        if len(text.partition("\n")[0]) <= width:
            break
        cells = cells.drop(columns=name)
        text = lines(cells)
    over, longest = len(text.partition("\n")[0]) - width, max(map(len, cells.index))
    if over > 0:
        kept = max(longest - over, SHORTEST)
        text = lines(cells.set_axis([name if len(name) <= kept else f"{name[: kept - 1]}…" for name in cells.index]))
    return text


def lines(cells: pd.DataFrame) -> str:
    """A table of text: names on the left, cells on the right, two spaces between."""
    rows = [["Method", *cells.columns], *([name, *row] for name, row in zip(cells.index, cells.to_numpy().tolist(), strict=True))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )
