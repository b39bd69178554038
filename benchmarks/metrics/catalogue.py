"""All metrics of a run that tables and figures show, one entry each. Tables, paired tests, figures and legends use only this list.

To add a metric, add an entry, and a function in accuracy.py if the formula is longer than a line. `Column` sets its table and place;
`tested` and `figure` include it in paired tests and figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.metrics import accuracy as formulas
from protocols.schema import Sessions

Counts = tuple[int, ...]
Table = Literal["last", "study", "definitions"]
"""`last`: after the last session, on a protocol's page; `study`: the same on a study's page; `definitions`: other papers' definitions,
on a `.matrix.md` page."""


@dataclass(frozen=True)
class Run:
    """A run up to one of its sessions: correct predictions and test images per label, one tuple per session."""

    sessions: Sessions
    correct: tuple[Counts, ...]
    total: tuple[Counts, ...]

    @property
    def now(self) -> tuple[Counts, Counts]:
        """Correct predictions and test images per label, after the last session."""
        return self.correct[-1], self.total[-1]

    @property
    def old(self) -> int:
        """Number of classes before the last session."""
        return self.sessions.span(len(self.correct) - 1).start

    @property
    def matrix(self) -> list[list[float]]:
        """Row t, column j: after session t, accuracy on the classes that session j brought."""
        pairs = zip(self.correct, self.total, strict=True)
        return [formulas.session_accuracies(self.sessions, correct, total) for correct, total in pairs]

    @property
    def accuracies(self) -> list[float]:
        """Accuracy after each session over all classes seen, in percent."""
        return [formulas.micro(correct, total) for correct, total in zip(self.correct, self.total, strict=True)]


@dataclass(frozen=True)
class Column:
    """A column of a table; `place` orders the columns."""

    table: Table
    heading: str
    place: int
    legend: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric. `value` is in percent or points, NaN if undefined (no novel class yet). `over_sessions`: it has a value after every
    session, so that a figure can show it. `bold`: the leading row is printed bold. `tested`: heading in paired tests, '' for none."""

    name: str
    value: Callable[[Run], float]
    columns: tuple[Column, ...]
    over_sessions: bool = False
    bold: bool = False
    better: Literal["high", "low"] = "high"
    tested: str = ""
    figure: str = ""
    axis: str = ""

    def __post_init__(self) -> None:
        if self.tested and not (self.over_sessions and self.better == "high"):
            raise ValueError(f"metric {self.name}: paired tests want a value after every session, the higher the better")


METRICS = (
    Metric(
        "accuracy",
        lambda run: formulas.micro(*run.now),
        (
            Column("last", "All", 4),
            Column("study", "All", 1),
            Column("definitions", "Micro", 1, "over images, as everywhere else in this suite"),
        ),
        over_sessions=True,
        bold=True,
        tested="Accuracy",
        figure="Accuracy over sessions",
        axis="accuracy, all classes seen (%)",
    ),
    Metric(
        "base",
        lambda run: formulas.base_accuracy(*run.now, run.sessions.base),
        (Column("last", "Base", 1), Column("study", "Base", 3)),
        over_sessions=True,
        bold=True,
    ),
    Metric(
        "novel",
        lambda run: formulas.novel_accuracy(*run.now, run.sessions.base),
        (Column("last", "Novel", 2), Column("study", "Novel", 4)),
        over_sessions=True,
        bold=True,
    ),
    Metric(
        "hm",
        lambda run: formulas.harmonic_mean(*run.now, run.sessions.base),
        (Column("last", "Harmonic mean", 3), Column("study", "Harmonic mean", 2), Column("definitions", "HM", 4)),
        over_sessions=True,
        bold=True,
        tested="Harmonic mean",
        figure="Harmonic mean of base and novel accuracy",
        axis="harmonic mean (%)",
    ),
    Metric(
        "class_count",
        lambda run: formulas.class_count(*run.now, run.old),
        (
            Column("last", "All, class-count", 5),
            Column(
                "definitions",
                "Class-count",
                2,
                "micro inside old classes and inside the session's own, weighed by their numbers of classes (TOPIC, LEC-Net)",
            ),
        ),
        over_sessions=True,
    ),
    Metric("forgetting", lambda run: formulas.forgetting(run.matrix), (Column("last", "Forgetting", 6),), better="low"),
    Metric(
        "macro",
        lambda run: formulas.macro(*run.now),
        (Column("definitions", "Macro", 3, "mean over classes (TEEN, OrCo)"),),
    ),
    Metric(
        "hm_macro",
        lambda run: formulas.hm_base_novel_macro(*run.now, run.sessions.base),
        (Column("definitions", "HM macro", 5, "of base and all novel classes, each macro (`hm_base_novel_macro`: TEEN, OrCo)"),),
    ),
    Metric(
        "hm_old_new",
        lambda run: formulas.hm_old_new_micro(*run.now, run.old),
        (
            Column(
                "definitions",
                "HM old/new",
                6,
                "of all classes before the session and its own, micro (`hm_old_new_micro`: FSCIL-Calibration)",
            ),
        ),
    ),
    Metric(
        "kr",
        lambda run: formulas.knowledge_retention(run.accuracies),
        (Column("definitions", "KR", 7, "last over first accuracy"),),
    ),
    Metric(
        "gacc",
        lambda run: formulas.generalised_accuracy(run.matrix, run.sessions.base, run.sessions.way),
        (
            Column(
                "definitions",
                "gAcc",
                8,
                "mean over sessions, the base's weight going from none to that of its classes (Revisiting FSCIL)",
            ),
        ),
    ),
)


def metric(name: str) -> Metric:
    """The entry of that name. Raises KeyError."""
    return {entry.name: entry for entry in METRICS}[name]


def columns(table: Table) -> list[tuple[Metric, Column]]:
    """A table's columns from left to right, with their metrics."""
    pairs = [(entry, column) for entry in METRICS for column in entry.columns if column.table == table]
    return sorted(pairs, key=lambda pair: pair[1].place)


def drawn() -> list[str]:
    """Names of the metrics that a figure can show over sessions."""
    return [entry.name for entry in METRICS if entry.figure]


def tested() -> dict[str, str]:
    """Metrics that paired tests compare: name -> heading."""
    return {entry.name: entry.tested for entry in METRICS if entry.tested}
