"""The tables of the pages with their numbers as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.metrics.catalogue import tested
from benchmarks.metrics.statistics import FEWEST_TO_TEST, mean_and_half_width
from benchmarks.report.cells import Interval, measured
from benchmarks.report.compare import CELL, EXPORTED, NOT_AMONG_COLUMNS, compared, pairs_of
from benchmarks.report.definitions import definitions_blocks, definitions_legend
from benchmarks.report.frame import KEPT, label_of
from benchmarks.report.ranking import Pair
from benchmarks.report.section import Section
from benchmarks.report.study import StudySection, last_blocks
from benchmarks.report.tables import contested_last, last_block, legend, printed, session_blocks, widths, winners
from protocols.printed import PublishedRow

NOTHING: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class PaperRow:
    """`seeds` is empty for a printed row. `bold`: columns in which the row is ahead of all others by the suite's rule."""

    label: str
    seeds: str
    cells: dict[str, Interval]
    bold: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PaperTable:
    """`kind` is the end of its file's name. `decimals`: digits of columns that have other than two."""

    kind: str
    title: str
    legend: str
    rows: list[PaperRow]
    decimals: Mapping[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.rows for column in row.cells))


def tables_of_section(section: Section, published: Sequence[PublishedRow]) -> Iterator[PaperTable]:
    """The tables of a section of a page: after each session, after the last one, paired tests, other definitions."""
    sessions = session_blocks(section)
    ahead = winners(section, sessions, {name: "high" for name in next(iter(sessions.values())).columns if name != "PD"})
    rows = []
    for variant, row in rows_of(section, sessions, ahead).items():
        rows.append(row)
        rows += [printed_row(one) for one in published if printed(one, section.variants[variant][0])]
    failed = failed_rows(section)
    yield PaperTable("sessions", f"{section.name}: accuracy after each session", legend(section), rows + failed)
    last = {variant: last_block(section, variant, "last") for variant in section.variants}
    of_last = rows_of(section, last, winners(section, last, contested_last()))
    for variant, row in of_last.items():
        means = section.last.loc[section.last["variant"] == variant, list(KEPT)].mean()
        row.cells.update({title: (float(means[name]), float("nan")) for name, title in KEPT.items()})
    yield PaperTable(
        "last", f"{section.name}: after the last session", legend(section), [*of_last.values(), *failed], dict.fromkeys(KEPT.values(), 0)
    )
    yield from pairs_table(section)
    rows = list(rows_of(section, definitions_blocks(section), {}).values())
    yield PaperTable("definitions", f"{section.name}: by other definitions", definitions_legend(), rows)


def rows_of(
    section: Section, blocks: Mapping[str, pd.DataFrame], ahead: Mapping[str, str], labels: Mapping[str, str] | None = None
) -> dict[str, PaperRow]:
    """Variant -> its row. `ahead`: column -> the variant that is bold in it. `labels`: names of variants other than their own."""
    rows = {}
    for variant, block in blocks.items():
        records = section.variants[variant]
        bold = frozenset(column for column, winner in ahead.items() if winner == variant)
        label = label_of(records[0]) if labels is None else labels[variant]
        cells = {str(name): cell for name, cell in measured(variant, block).items()}
        rows[variant] = PaperRow(label, seeds_of(section, variant), cells, bold)
    return rows


def printed_row(row: PublishedRow) -> PaperRow:
    """A row of a paper: no intervals; average and PD only where every accuracy is printed."""
    values = [float("nan") if value is None else value for value in row.accuracy]
    cells = {str(number): (value, float("nan")) for number, value in enumerate(values)}
    cells["Average"] = (float(np.mean(values)), float("nan"))
    cells["PD"] = (metrics.performance_drop(values) if None not in row.accuracy else float("nan"), float("nan"))
    return PaperRow(f"printed: {row.label}, {row.source}", "", cells)


def pairs_table(section: Section) -> Iterator[PaperTable]:
    """The paired tests of the ranked rows against the leader and BaseOnly; nothing where no test can be made."""
    if len(section.ranked) < 2:
        return
    columns = {f"{title} − {label_of(section.variants[of][0])}": pairs for title, of, _, pairs in compared(section)}
    labels = {variant: label_of(section.variants[variant][0]) for variant in section.ranked}
    yield from paired(f"{section.name}: paired differences", EXPORTED, section, columns, labels)


def paired(
    title: str, legend: str, section: Section, columns: Mapping[str, Mapping[str, tuple[Pair, object]]], labels: Mapping[str, str]
) -> Iterator[PaperTable]:
    """Table of differences and their p, by column and variant; nothing where no test can be made."""
    cells: dict[str, dict[str, Interval]] = {variant: {} for variant in labels}
    decimals = {}
    for name, of_column in columns.items():
        known = {variant: pair for variant, (pair, _) in of_column.items() if len(pair.differences) >= FEWEST_TO_TEST}
        if not known:
            continue
        decimals[f"p of {name}"] = 3
        for variant in labels:
            pair = known.get(variant)
            cells[variant][name] = NOTHING if pair is None else mean_and_half_width(list(pair.differences))
            cells[variant][f"p of {name}"] = NOTHING if pair is None else (pair.p, float("nan"))
    if decimals:
        rows = [PaperRow(label, seeds_of(section, variant), cells[variant]) for variant, label in labels.items()]
        yield PaperTable("pairs", title, legend, rows, decimals)


def seeds_of(section: Section, variant: str) -> str:
    return section.seeds_cell(len(section.variants[variant]), section.failed(variant))


def failed_rows(section: Section) -> list[PaperRow]:
    """Rows of variants of which no run succeeded."""
    return [PaperRow(label, section.seeds_cell(0, count), {}) for label, count in section.failed_rows().items()]


def tables_of_study(of: StudySection) -> Iterator[PaperTable]:
    """The tables of a section of a study's page: after the last and after each session, and the paired tests. Nothing is bold there."""
    title = f"{of.study.title}, {of.section.name}"
    last = rows_of(of.section, last_blocks(of), {}, of.rows)
    yield PaperTable("last", f"{title}: after the last session", widths(of.section), list(last.values()))
    curves = {variant: of.section.curves(variant) for variant in of.rows}
    sessions = rows_of(of.section, curves, {}, of.rows)
    yield PaperTable("sessions", f"{title}: accuracy after each session", widths(of.section), list(sessions.values()))
    columns = {
        f"{metric} − {label}": pairs_of(reference, of.section.scores(name, of.rows))
        for label in of.study.references
        if (reference := of.variant(label)) is not None
        for name, metric in tested().items()
    }
    yield from paired(f"{title}: paired differences", f"After the last session. {CELL} {NOT_AMONG_COLUMNS}", of.section, columns, of.rows)
