"""Writes results/<protocol>.study-<name>.md and its figures from records and traces alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from benchmarks.metrics.catalogue import columns, tested
from benchmarks.metrics.statistics import ALPHA, EQUAL
from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.caveats import all_below_nothing, far_apart
from benchmarks.report.cells import NONE, intervals
from benchmarks.report.command import command_of
from benchmarks.report.compare import NOT_AMONG_COLUMNS, cell, pairs_of
from benchmarks.report.frame import label_of
from benchmarks.report.matching import is_for, labels_of, shows, unclear
from benchmarks.report.placing import group_of, page_name, run_of
from benchmarks.report.provenance import provenance
from benchmarks.report.section import Section, stem_of
from benchmarks.report.sections import make_sections
from benchmarks.report.tables import last_block, markdown, session_blocks, widths
from benchmarks.report.write import as_text, backbone_lines, notes, study_page, written
from benchmarks.system.errors import RecordError
from protocols import load_published_study
from protocols.printed import PublishedStudy
from protocols.schema import Protocol
from protocols.study import Study, load_study, study_names


@dataclass(frozen=True)
class StudySection:
    """A section with the study's variants only, in the study's order. `labels`: variant -> label."""

    study: Study
    section: Section
    labels: Mapping[str, str]

    @property
    def rows(self) -> dict[str, str]:
        """Variant -> label, for the variants that were run."""
        return {variant: label for variant, label in self.labels.items() if variant in self.section.variants}

    def variant(self, label: str) -> str | None:
        """The variant of that label; None if it was not run."""
        return next((variant for variant, own in self.rows.items() if own == label), None)


@dataclass(frozen=True)
class StudyContent:
    """What there is of a study: the sections of its page, those of other settings, all records of the protocol, failed runs of the study,
    and lines about records that cannot be used."""

    sections: Sequence[StudySection]
    other: list[Section]
    records: list[Record]
    failed: list[FailedRun]
    faults: list[str]


def study_content(protocol: Protocol, study: Study, store: Store) -> StudyContent:
    """Raises RecordError if no variant of the study was run."""
    records, faults, failures = store.load(protocol.name)
    labels = labels_of(study, records, failures)
    own = [record for record in records if record.identity.variant in labels and is_for(study, record.identity)]
    failed = [run for run in failures if run.variant in labels and (run.identity is None or is_for(study, run.identity))]
    if not (own or failed):
        why = "; ".join(unclear(study, records))
        raise RecordError(
            f"{store.root / protocol.name}: {why or f'no runs of study {study.name} yet; run `{command_of(protocol, study.name)}` first'}"
        )
    grouped = make_sections(protocol, own, failed)
    sections = run_for(study, [in_order(study, section, labels) for section in grouped.current or grouped.other])
    return StudyContent(sections, grouped.other if grouped.current else [], records, failed, faults)


def write_study(protocol: Protocol, study: Study, results: Path) -> list[Path]:
    """Writes the page and its figures, and returns their paths. Raises RecordError if no variant of the study was run."""
    from benchmarks.report.pictures import Material, draw

    store = Store(results)
    content = study_content(protocol, study, store)
    sections, printed = content.sections, load_published_study(study.name)
    shown = [record for drawn in sections for record in drawn.section.records]
    command = command_of(protocol, study.name, (record.identity for record in shown))
    lines = [f"# {study.title}: {protocol.name}", "", *backbone_lines(shown), intro(protocol, study, command)]
    paths, wanting, stems = [], [], set[str]()
    for drawn in sections:
        section = drawn.section
        lines += ["", f"## {section.name}", "", *tables(drawn, printed)]
        material = Material(study, section, drawn.rows, printed, store)
        for title, files in draw(material, results / "figures", stem_of(section, protocol.name, stems, study.name)):
            svg, png, csv = (f"figures/{file.name}" for file in files)
            lines += [f"![{title}]({svg})", "", f"{title}: [PNG]({png}), [numbers]({csv})", ""]
            paths += files
        wanting += material.faults
        lines += ["### What these numbers stand on", "", *provenance(section)]
    lines += notes("Runs that failed, and are in no mean", as_text(content.failed))
    lines += notes("Traces that are wanting, and are in no figure", wanting)
    for page, others in by_page(protocol, content.other).items():
        lines += notes(f"Other settings, on [{page}.md]({page}.md)", [section.name for section in others])
    lines += notes("Variants that are not clear, and are in no table", unclear(study, content.records))
    lines += notes("Records that cannot be used, and are in no mean", as_text(content.faults))
    return [written(study_page(protocol, study.name, results), lines), *paths]


def by_page(protocol: Protocol, sections: Sequence[Section]) -> dict[str, list[Section]]:
    """The sections by the name of the page on which their rows stand, that of their first row."""
    pages: dict[str, list[Section]] = {}
    for section in sections:
        first = section.records[0]
        pages.setdefault(page_name(protocol, group_of(protocol, run_of(first.identity, first.group))), []).append(section)
    return pages


TESTED_TOO = (
    "†: test images chose when each session of this row ended. A study tests such rows with the others, since it asks what that changes; "
    "on the protocol's page they are in no test."
)


def in_order(study: Study, section: Section, labels: Mapping[str, str]) -> StudySection:
    order = {variant: section.variants[variant] for variant in labels if variant in section.variants}
    return StudySection(study, replace(section, variants=order), labels)


def run_for(study: Study, sections: Sequence[StudySection]) -> Sequence[StudySection]:
    """Sections with something to compare: the reference, another variant, and traces if the study uses probes.

    Others are left out, such as a recipe with only a few of the variants, run for the protocol's own table. If no section qualifies,
    all are returned.
    """
    return [of for of in sections if shows(study, of.section.records)] or sections


def intro(protocol: Protocol, study: Study, command: str) -> str:
    whose = "What the paper says" if study.name in study_names() and load_study(study.name) == study else "Its claim"
    claim = f" {whose}: {study.claim}{'' if study.claim.endswith(('.', '!', '?')) else '.'}" if study.claim else ""
    references = " and against ".join(f"`{label}`" for label in study.references)
    return (
        f"Written by `{command} --report-only` from the records in `records/{protocol.name}/`. {protocol.title}.{claim} "
        f"Each variant is held against {references}, over the seeds that both have."
    )


def tables(of: StudySection, printed: PublishedStudy | None) -> list[str]:
    lines = ["### After the last session", "", last_table(of, printed), "", widths(of.section)]
    if printed is not None:
        lines += ["", order_line(of, printed)]
    if any(record.selection == "oracle_test" for record in of.section.records):
        lines += ["", TESTED_TOO]
    for caveat in filter(None, [far_apart(of.section), all_below_nothing(of.section, of.rows)]):
        lines += ["", caveat]
    for label in of.study.references:
        lines += ["", f"### Against `{label}`, paired over seeds", "", paired_table(of, label)]
    return [*lines, "", "### Accuracy after each session", "", sessions_table(of), ""]


def last_table(of: StudySection, printed: PublishedStudy | None) -> str:
    """Table of all variants after the last session, with the published values, which may be of another data set."""
    section, rows, blocks = of.section, [], last_blocks(of)
    for variant, label in of.rows.items():
        records, block = section.variants[variant], blocks[variant]
        value = printed.values.get(label) if printed else None
        cells = [] if printed is None else [NONE if value is None else f"{value:.2f}"]
        rows.append(
            [label, label_of(records[0]), section.seeds_cell(len(records), section.failed(variant)), *intervals(variant, block), *cells]
        )
    header = ["Variant", "Method", "Seeds", *(column.heading for _, column in columns("study")), "Average", "PD"]
    return markdown(rows, header + ([f"Printed ({printed.protocol}, all)"] if printed else []))


def last_blocks(of: StudySection) -> dict[str, pd.DataFrame]:
    """For every variant, one row a seed: the study's metrics after the last session, then Average and PD."""
    ends = session_blocks(of.section)
    return {variant: last_block(of.section, variant, "study").join(ends[variant][["Average", "PD"]]) for variant in of.rows}


def order_line(of: StudySection, printed: PublishedStudy) -> str:
    """Published and measured order of the variants by last accuracy, best first. Values from another data set cannot be compared, but
    their order may be; means over other seeds may not, so these are over the seeds that all have."""
    scores = {
        of.rows[variant]: row for variant, row in of.section.scores("accuracy", of.rows).items() if of.rows[variant] in printed.values
    }
    common = set.intersection(*map(set, scores.values())) if scores else set()
    if not common:
        return f"Printed in {printed.source}; no seed was run with all of its variants here."
    means = {label: sum(row[seed] for seed in common) / len(common) for label, row in scores.items()}
    uneven = any(len(row) > len(common) for row in scores.values())
    theirs, ours = in_falling_order({label: printed.values[label] for label in means}), in_falling_order(means)
    over = f" over the {len(common)} seeds that all have" if uneven else ""
    return (
        f"Printed in {printed.source}, on {printed.protocol} ({printed.network}; epochs chosen on: {printed.selection}): "
        f"{theirs}. Means measured here{over}: {ours}. Which of these differences are more than noise, the next table "
        "says." + "".join(f" On the printed table: {text}." for text in (printed.note, printed.misprint) if text)
    )


def in_falling_order(values: Mapping[str, float]) -> str:
    """Text such as `NE > SA = NC > baseline`."""
    names = sorted(values, key=lambda name: -values[name])
    signs = [" = " if values[one] - values[other] <= EQUAL else " > " for one, other in pairwise(names)]
    return "".join(name + sign for name, sign in zip(names, [*signs, ""], strict=True))


def paired_table(of: StudySection, against: str) -> str:
    """Table of each variant minus the one labelled `against`, in accuracy and harmonic mean."""
    if (reference := of.variant(against)) is None:
        return f"`{against}` was not run here."
    columns = {}
    for metric, title in tested().items():
        columns[title] = {variant: cell(*pair) for variant, pair in pairs_of(reference, of.section.scores(metric, of.rows)).items()}
    lines = [
        [label, *("reference" if variant == reference else column.get(variant) or NONE for column in columns.values())]
        for variant, label in of.rows.items()
    ]
    explained = (
        "Mean difference ± its 95 % interval, p of the paired t-test, Holm-corrected within the column; where p is not below "
        f"{ALPHA}, how many seeds would separate the two with a power of 80 %, were they like those at hand. {NOT_AMONG_COLUMNS}"
    )
    return f"{markdown(lines, ['Variant', *columns])}\n\n{explained}"


def sessions_table(of: StudySection) -> str:
    rows: list[Sequence[str]] = []
    header: list[str] = []
    for variant, label in of.rows.items():
        block = of.section.curves(variant)
        header = list(block.columns)
        rows.append([label, *intervals(variant, block)])
    return markdown(rows, ["Variant", *header])
