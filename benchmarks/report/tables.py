"""The tables of one section: records that share protocol, recipe and split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from benchmarks import metrics
from benchmarks.records import Costs, Record
from benchmarks.report.frame import label_of, matrix_of, to_frame
from benchmarks.stats import mean_and_half_width
from protocols.schema import PublishedRow

NONE = "–"


@dataclass(frozen=True)
class Section:
    """Records of one recipe and split, one variant after the other in the order of the tables."""

    recipe: str
    split: str
    variants: dict[str, list[Record]]
    digest: str = ""

    @property
    def name(self) -> str:
        """Heading; the digest tells apart sections that share recipe and split."""
        return f"Recipe `{self.recipe}`, split `{self.split}`" + (f", settings `{self.digest}`" if self.digest else "")

    @property
    def records(self) -> list[Record]:
        return [record for records in self.variants.values() for record in records]

    @cached_property
    def frame(self) -> pd.DataFrame:
        return to_frame(self.records)


def markdown(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A GitHub table; a bar inside a cell is escaped."""
    frame = pd.DataFrame([[cell.replace("|", "\\|") for cell in row] for row in rows], columns=[h.replace("|", "\\|") for h in header])
    alignment = ["left"] + ["right"] * (len(header) - 1)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=alignment)


def interval(values: Iterable[float]) -> str:
    """`61.23 ± 0.45`; the mean alone for one seed; a dash where the number does not exist."""
    values = list(values)
    if any(np.isnan(value) for value in values):
        return NONE
    mean, half = mean_and_half_width(values)
    return f"{mean:.2f}" if np.isnan(half) else f"{mean:.2f} ± {half:.2f}"


def accuracy_table(section: Section, published: Sequence[PublishedRow]) -> str:
    """Rows methods, columns sessions 0..T (the layout of the paper's Tables 4, 5, 7), then average and PD."""
    frame = section.frame
    sessions = sorted(frame["session"].unique())
    header = ["Method", "Seeds", *(str(s) for s in sessions), "Average", "PD"]
    rows: list[list[str]] = []
    for variant, records in section.variants.items():
        table = frame[frame["variant"] == variant].pivot(index="seed", columns="session", values="accuracy")
        averages = table.mean(axis=1)
        drops = [metrics.performance_drop(list(curve)) for _, curve in table.iterrows()]
        cells = [interval(table[s]) for s in sessions]
        rows.append([label_of(records[0]), str(len(records)), *cells, interval(averages), interval(drops)])
        for row in (r for r in published if printed(r, records[0])):
            rows += published_rows(row, [float(table[s].mean()) for s in sessions])
    return markdown(rows, header)


def printed(row: PublishedRow, record: Record) -> bool:
    """Whether a published row is about this variant. Papers that chose the epoch on test images are beside our doing so, too."""
    identity = record.identity
    return (
        row.method == identity.method
        and identity.preset in (row.presets or (identity.preset,))
        and set(identity.overrides) <= {"selection"}
    )


def published_rows(row: PublishedRow, measured: Sequence[float]) -> list[list[str]]:
    """What a paper printed, and measured minus printed, in points."""
    printed = list(row.accuracy)
    complete = all(value is not None for value in printed)
    values = [float("nan") if value is None else value for value in printed]
    tail = [f"{np.mean(values):.2f}", f"{values[0] - values[-1]:.2f}"] if complete else [NONE, NONE]
    gaps = [NONE if np.isnan(value) else f"{ours - value:+.2f}" for ours, value in zip(measured, values, strict=True)]
    gap_tail = [NONE, NONE]
    if complete:
        ours_drop, theirs_drop = measured[0] - measured[-1], values[0] - values[-1]
        gap_tail = [f"{np.mean(measured) - np.mean(values):+.2f}", f"{ours_drop - theirs_drop:+.2f}"]
    cells = [NONE if np.isnan(value) else f"{value:.2f}" for value in values]
    return [
        [f"↳ published: {row.label}, {row.source}", NONE, *cells, *tail],
        ["↳ measured − published", NONE, *gaps, *gap_tail],
    ]


def final_table(section: Section) -> str:
    """After the last session: base, novel, their harmonic mean, and what the method kept and added."""
    last = section.frame[section.frame["session"] == section.frame["session"].max()]
    header = ["Method", "Base", "Novel", "Harmonic mean", "All", "All, class-count", "Forgetting", "Images kept", "Parameters added"]
    rows = []
    for variant, records in section.variants.items():
        f = last[last["variant"] == variant]
        forgotten = [metrics.forgetting(matrix_of(record)) for record in records]
        rows.append(
            [
                label_of(records[0]),
                *(interval(f[column]) for column in ("base", "novel", "hm", "accuracy", "class_count")),
                interval(forgotten),
                f"{f['images_kept'].mean():,.0f}",
                f"{f['parameters_added'].mean():,.0f}",
            ]
        )
    return markdown(rows, header)


def log_tables(section: Section) -> list[str]:
    """What methods say of themselves (gates, tau), mean over seeds per session."""
    tables = []
    for records in section.variants.values():
        keys = sorted({key for record in records for session in record.sessions for key in session.log})
        if not keys:
            continue
        count = len(records[0].sessions)
        rows = []
        for key in keys:
            cells = []
            for number in range(count):
                values = [record.sessions[number].log[key] for record in records if key in record.sessions[number].log]
                cells.append(f"{np.mean(values):.3f}" if values else NONE)
            rows.append([key, *cells])
        header = [f"{label_of(records[0])}: own log, by session", *(str(number) for number in range(count))]
        tables.append(markdown(rows, header))
    return tables


def matrix_table(records: Sequence[Record]) -> str:
    """The accuracy matrix of one variant, mean over seeds."""
    count = len(records[0].sessions)
    matrices = [matrix_of(record) for record in records]
    rows = []
    for t in range(count):
        means = [f"{np.mean([matrix[t][j] for matrix in matrices]):.2f}" for j in range(t + 1)]
        rows.append([str(t), *means, *[NONE] * (count - t - 1)])
    return markdown(rows, [f"{label_of(records[0])}: after session", *(f"of {j}" for j in range(count))])


def cost_table(variants: dict[str, list[tuple[Record, Costs]]]) -> str:
    """Seconds and memory, mean over seeds; the base's over those runs that trained it."""
    header = ["Method", "Seeds", "Base (s)", "Sessions, training (s)", "Sessions, testing (s)", "Peak memory (MiB)", "Commits"]
    rows = []
    for pairs in variants.values():
        trained = [costs.base_seconds for _, costs in pairs if costs.base_seconds]
        commits = sorted({costs.commit[:8] + ("+changes" if costs.commit.endswith("+changes") else "") for _, costs in pairs})
        rows.append(
            [
                label_of(pairs[0][0]),
                str(len(pairs)),
                f"{np.mean(trained):.1f} (n={len(trained)})" if trained else NONE,
                f"{np.mean([sum(costs.session_seconds) for _, costs in pairs]):.1f}",
                f"{np.mean([sum(costs.evaluation_seconds) for _, costs in pairs]):.1f}",
                f"{np.max([costs.peak_memory_mib for _, costs in pairs]):.0f}",
                ", ".join(commits),
            ]
        )
    return markdown(rows, header)
