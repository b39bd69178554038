"""Writes the tables of a protocol or study for a paper, into results/export: `run_all.py --export latex`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.metrics.catalogue import drawn, metric
from benchmarks.records.store import Store
from benchmarks.report import figures
from benchmarks.report.blocks import content_of
from benchmarks.report.command import command_of
from benchmarks.report.frame import label_of
from benchmarks.report.paper import CURVES, FORMATS, PaperTable, check_format, encoded, tables_of_section, tables_of_study
from benchmarks.report.pictures import Material, drawings
from benchmarks.report.section import Section, stem_of
from benchmarks.report.study import study_content
from benchmarks.system.errors import RecordError, UsageError
from benchmarks.system.files import write_atomic
from benchmarks.tools.tensorboard import write_curves
from protocols import load_published_study
from protocols.schema import Protocol
from protocols.study import Study, load_study, study_names

FOLDER = "export"
MOST_LINES = 28
"""Lines of a figure that differ by colour or dash. A section with more rows has no figure; a study draws a choice of them."""


def export_protocol(protocol: Protocol, results: Path, kind: str) -> Iterator[Path]:
    """Writes the tables of every section of the protocol's pages, and accuracy and harmonic mean over sessions as PDF; or, as
    `tensorboard`, the curves of every run. Yields the paths.

    Raises UsageError for a format that cannot be written, RecordError if there are no records.
    """
    check_format(kind)
    store = Store(results)
    blocks = content_of(protocol, store, [load_study(name) for name in study_names()]).blocks
    if not blocks:
        raise RecordError(f"{store.root / protocol.name}: no records to export; run `{command_of(protocol)}` first")
    stems: set[str] = set()
    for block in blocks:
        section = block.shown
        if section.variants:
            stem = results / FOLDER / stem_of(section, block.page, stems)
            if kind == CURVES:
                yield write_curves(section.frame, labels_of(section), stem.parent / CURVES / stem.name)
                continue
            yield from written(stem, tables_of_section(section, block.published), kind)
            yield from figures_of(section, stem)


def export_study(protocol: Protocol, study: Study, results: Path, kind: str) -> Iterator[Path]:
    """Writes the tables of a study's page, and its figures as PDF. Yields the paths. Raises UsageError or RecordError."""
    check_format(kind)
    if kind == CURVES:
        raise UsageError(f"--export {CURVES}: has the runs of a protocol; leave out --study")
    stems: set[str] = set()
    store, printed = Store(results), load_published_study(study.name)
    for of in study_content(protocol, study, store).sections:
        stem = results / FOLDER / stem_of(of.section, f"{protocol.name}.study-{study.name}", stems)
        yield from written(stem, tables_of_study(of), kind)
        for ending, _, drawing in drawings(Material(study, of.section, of.rows, printed, store)):
            yield figures.save_pdf(drawing, stem.with_name(f"{stem.name}.{ending}.pdf"))


def written(stem: Path, tables: Iterator[PaperTable], kind: str) -> Iterator[Path]:
    for table in tables:
        path = stem.with_name(f"{stem.name}.{table.kind}{FORMATS[kind]}")
        write_atomic(path, encoded(table, kind))
        yield path


def figures_of(section: Section, stem: Path) -> Iterator[Path]:
    """The metrics over sessions as PDF; no figure of more rows than can be told apart."""
    if len(section.variants) > MOST_LINES:
        return
    labels = labels_of(section)
    for name in drawn():
        entry = metric(name)
        frame = section.frame.assign(label=section.frame["variant"].map(labels), value=section.frame[name])
        table = frame[["label", "seed", "session", "value"]].dropna()
        if not table.empty:
            yield figures.save_pdf(figures.over_sessions(table, entry.axis), stem.with_name(f"{stem.name}.{name}.pdf"))


def labels_of(section: Section) -> dict[str, str]:
    """Variant -> its label in a figure, where two alike would be one line."""
    labels = {variant: label_of(records[0]) for variant, records in section.variants.items()}
    names: Sequence[str] = list(labels.values())
    return {variant: label if names.count(label) == 1 else f"{label} {variant}" for variant, label in labels.items()}
