"""The figures of a study, and the tables behind them in long format: one row per label, seed and plotted point.

It loads matplotlib: what every command loads imports it where it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.metrics.catalogue import METRICS, metric
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import read_trace
from benchmarks.report import figures
from benchmarks.report.figures import Drawing
from benchmarks.report.section import Section, slug
from benchmarks.system.errors import RecordError
from protocols.messages import unknown
from protocols.printed import PublishedStudy
from protocols.study import Study

Table = pd.DataFrame
Named = tuple[str, str, Drawing]
"""End of the file's name, title, drawing."""


@dataclass
class Material:
    """Data for the figures of one section of a study. `rows`: variant -> label. `faults`: messages about missing traces."""

    study: Study
    section: Section
    rows: Mapping[str, str]
    printed: PublishedStudy | None
    store: Store
    faults: list[str] = field(default_factory=list)

    def records(self) -> list[tuple[str, Record]]:
        return [(label, record) for variant, label in self.rows.items() for record in self.section.variants[variant]]

    def traces(self, probe: str) -> list[tuple[str, int, dict[str, Any]]]:
        """Label, seed and numbers of every run with a trace of this probe. Messages about the others are added to `faults`."""
        found = []
        for label, record in self.records():
            try:
                found.append((label, record.identity.seed, read_trace(record, probe)))
            except RecordError as error:
                self.faults.append(str(error).replace(f"{self.store.root}/", ""))
        return found

    def metric(self, name: str) -> Table:
        """Frame of one metric with columns label, seed, session, value."""
        frame = self.section.frame
        frame = frame[frame["variant"].isin(list(self.rows))]
        return frame.assign(label=frame["variant"].map(self.rows), value=frame[name])[["label", "seed", "session", "value"]]

    def last(self, name: str) -> Table:
        table = self.metric(name)
        return table[table["session"] == table["session"].max()].drop(columns="session")


def draw(of: Material, folder: Path, stem: str) -> list[tuple[str, list[Path]]]:
    """Saves every figure of the study for which there are numbers. Returns the title and the files (SVG, PNG, CSV) of each.

    Raises RecordError for an unknown figure.
    """
    return [(title, figures.save(drawing, folder / f"{stem}.{ending}")) for ending, title, drawing in drawings(of)]


def drawings(of: Material) -> Iterator[Named]:
    """Every figure of the study for which there are numbers. Raises RecordError for an unknown figure."""
    for name in of.study.figures:
        if name not in MAKERS:
            raise RecordError(f"study {of.study.name}, figures: {unknown('figure', name, list(MAKERS))}")
        yield from MAKERS[name](of)


def over_sessions(of: Material, name: str) -> list[Named]:
    """Figure of a catalogue metric over sessions."""
    entry, table = metric(name), of.metric(name).dropna()
    if table.empty:  # no session has a value, such as the harmonic mean without novel classes
        return []
    return [(name, entry.figure, figures.over_sessions(table, entry.axis, entry.figure))]


def axis(of: Material) -> list[Named]:
    series = [of.last("accuracy").assign(series="accuracy"), of.last("hm").assign(series="harmonic mean")]
    name, published = str(of.study.axis), None
    if of.printed is not None:
        published = Table({"label": list(of.printed.values), "value": list(of.printed.values.values()), "series": "accuracy"})
    title = f"After the last session, over {name}" + (f" (published: on {of.printed.protocol})" if of.printed else "")
    return [("axis", title, figures.over_axis(pd.concat(series), name, "%", title, published))]


def fit(of: Material) -> list[Named]:
    seen = of.traces("fit")
    if not seen:
        return []
    train = Table([{"label": label, "seed": seed, "value": pd.Series(numbers["train"]).mean()} for label, seed, numbers in seen])
    series = [train.assign(series="shots, after their own session"), of.last("accuracy").assign(series="test, after the last session")]
    name = str(of.study.axis)
    title = f"Training and test accuracy over {name}"
    return [("fit", title, figures.over_axis(pd.concat(series), name, "accuracy (%)", title))]


def sessions(of: Material) -> list[Named]:
    table, name = of.metric("accuracy"), str(of.study.axis)
    title = f"Accuracy over {name}, session by session"
    return [("sessions", title, figures.sessions_over_axis(table[table["session"] > 0], name, "accuracy (%)", title))]


def gate_function(of: Material) -> list[Named]:
    return [("gate_function", "The gate, by formula", figures.gate_function())]


def gates(of: Material) -> list[Named]:
    """One figure for each variant that has gates."""
    by_label: dict[str, list[Table]] = {}
    for label, seed, numbers in of.traces("epochs"):
        for number, epochs in enumerate(numbers["sessions"], start=1):
            if numbers["names"] and epochs:
                table = Table(epochs, columns=numbers["names"])
                if "tau" not in table:  # without tau all nodes are open
                    table["tau"] = float("nan")
                by_label.setdefault(label, []).append(table.assign(session=number, seed=seed, epoch=range(1, len(epochs) + 1)))
    titles = {label: f"Gates over a session's epochs: {label}" for label in by_label}
    return [
        (f"gates.{slug(label)}", titles[label], figures.gate_evolution(pd.concat(parts), titles[label]))
        for label, parts in by_label.items()
    ]


def drift(of: Material) -> list[Named]:
    rows = [
        {"label": label, "seed": seed, "session": session, "layer": layer, "degrees": degrees}
        for label, seed, numbers in of.traces("drift")
        for layer, values in numbers.items()
        for session, degrees in enumerate(values)
    ]
    title = "Drift of base features"
    return [("drift", title, figures.drift(Table(rows), title))] if rows else []


def tsne(of: Material) -> list[Named]:
    """Figure of the first seed only, since t-SNE axes of different seeds cannot be compared."""
    seen = of.traces("tsne")
    first = min((seed for _, seed, _ in seen), default=None)
    parts = [Table(numbers).assign(label=label) for label, seed, numbers in seen if seed == first]
    title = f"Test images after the last session, seed {first}"
    return [("tsne", title, figures.tsne(pd.concat(parts), title))] if parts else []


MAKERS: dict[str, Callable[[Material], Sequence[Named]]] = {
    **{entry.name: partial(over_sessions, name=entry.name) for entry in METRICS if entry.figure},
    "axis": axis,
    "fit": fit,
    "sessions": sessions,
    "gate_function": gate_function,
    "gates": gates,
    "drift": drift,
    "tsne": tsne,
}
