"""Writes a protocol's own page, <protocol>.md with <protocol>.matrix.md and <protocol>.costs.md, from the records alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.metrics.statistics import FEWEST_TO_RESAMPLE, FEWEST_TO_TEST
from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.bases import several_bases
from benchmarks.report.caveats import far_apart
from benchmarks.report.command import command_of
from benchmarks.report.compare import comparison
from benchmarks.report.costs import cost_table, with_costs
from benchmarks.report.definitions import definitions_legend, definitions_table
from benchmarks.report.layout import folded, laid_out
from benchmarks.report.matching import without_studied
from benchmarks.report.placing import Found
from benchmarks.report.printed import network_of, nobody_lines, of_length, printed_lines
from benchmarks.report.provenance import provenance
from benchmarks.report.section import Section
from benchmarks.report.sections import alike, make_sections
from benchmarks.report.tables import accuracy_table, final_table, legend, log_tables, matrix_table
from benchmarks.system.errors import RecordError
from benchmarks.system.files import remove, write_atomic
from protocols import printed_beside
from protocols.printed import PublishedRow
from protocols.pseudo import ENDING
from protocols.schema import Protocol
from protocols.study import Study

COSTS_INTRO = (
    "Means over the seeds that a processor ran; they differ from run to run. Base: only runs that trained it, the others found it in the "
    "cache. Testing: without images whose features were already in memory for the same backbone. Memory: the highest "
    "of the process so far (of the GPU, where there is one, during the run)."
)
MATRIX_INTRO = (
    "Row t, column j: after session t, accuracy in percent on the test images of the classes that session j brought, predicted among "
    "all classes seen. Means over seeds."
)
OTHER = (
    "Records whose settings differ from those above: of a recipe or a method that was changed since, or of older versions. Each table is "
    "of one setting, headed by what differs; none of them is held against the tables above."
)
CLEAN = "The last epoch is used everywhere: the test set chooses nothing."
VAL = (
    " Rows with selection=val train each session for a number of epochs found on left-out shots and held-out base images; their base is "
    "another one, trained without a tenth of its images."
)
ORACLE = (
    "**† Test images chose when each session of this row ended, as in the published practice: not comparable with the rest.** "
    "Everywhere else the last epoch is used, and the test set chooses nothing."
)


class Page(NamedTuple):
    """Name of a page, without `.md`, and its title."""

    name: str
    title: str


class Shown(NamedTuple):
    """Sections of a page, of settings that the files describe now and of others, and the studies that show more of its methods."""

    current: list[Section]
    other: list[Section]
    studies: set[str]


def write_own(protocol: Protocol, found: Found, others: Sequence[Record], studies: Sequence[Study], results: Path) -> list[Path]:
    """Writes the files and returns their paths; `others` are the records of other pages.

    Without any record, the page holds the published rows only; raises RecordError if there are none of these either.
    """
    published = printed_beside(protocol)
    page = Page(protocol.name, protocol.title)
    if not (found.records or found.faults or found.failures):
        if shown := of_length(published, protocol.sessions.count + 1):
            return [written(results / f"{page.name}.md", nobody_lines(protocol, shown, Store(results).protocols()))]
        place = Store(results).root / protocol.name
        raise RecordError(f"{place}: no records yet; run `{command_of(protocol)}` first")
    grouped = make_sections(protocol, found.records, found.failures)
    sections, of_studies = [], set()
    for section in grouped.current:
        without, moved = without_studied(section, studies, alike(section, others))
        sections += [without] if without.variants else []
        of_studies |= moved
    shown_records = [record for section in (*sections, *grouped.other) for record in section.records]
    lines = [f"# {page.title}"]
    for section in sections:
        lines += section_lines(section, published)
    end = about_page(protocol, page, shown_records, found.failures)
    return write_page(protocol, page, lines, Shown(sections, grouped.other, of_studies), found, results, end)


def write_page(
    protocol: Protocol, page: Page, lines: Sequence[str], shown: Shown, found: Found, results: Path, end: Sequence[str]
) -> list[Path]:
    """Writes a page that begins with `lines` and closes with `end`, and the pages beside it."""
    lines = [*lines, *other_lines(shown.other)]
    lines += notes("Studies of these methods' parameters", [study_line(protocol, name) for name in sorted(shown.studies)])
    lines += notes("Runs that failed, and are in no mean", as_text(found.failures))
    lines += notes("Records that cannot be used, and are in no mean", as_text(found.faults))
    sections = [*shown.current, *shown.other]
    table = written(results / f"{page.name}.md", [*lines, *end])
    return [table, *write_matrices(page, sections, results), *write_costs(page, sections, results)]


def study_page(protocol: Protocol, study: str, results: Path) -> Path:
    return results / f"{protocol.name}.study-{study}.md"


def study_line(protocol: Protocol, study: str) -> str:
    page = study_page(protocol, study, Path()).name
    return f"[{page}]({page}), written by `{command_of(protocol, study)} --report-only`"


def written(path: Path, lines: Sequence[str]) -> Path:
    write_atomic(path, ("\n".join(laid_out(lines)).rstrip() + "\n").encode())
    return path


def writer_of(protocol: Protocol, runs: Iterable[Identity]) -> str:
    """The command that writes again a page that tells of these runs."""
    if protocol.name.endswith(ENDING):
        return "python -m benchmarks.tools.search"
    return f"{command_of(protocol, runs=runs)} --report-only"


def about_page(protocol: Protocol, page: Page, records: Sequence[Record], failures: Sequence[FailedRun]) -> list[str]:
    """What a page says of itself, below its tables."""
    failed = (failure.identity for failure in failures if failure.identity is not None)
    writer = writer_of(protocol, [*(record.identity for record in records), *failed])
    return ["", "## About this page", "", *backbone_lines(records), intro(protocol, page, records, writer)]


def intro(protocol: Protocol, page: Page, records: Sequence[Record], writer: str) -> str:
    return (
        f"Written by `{writer}` from the records in "
        f"`records/{protocol.name}/`. Accuracy is top-1 in percent over all classes seen so far, one head, no task label. "
        "Means over seeds ± their 95 % interval by bootstrap over seeds (expanded percentiles; where its sides differ, the wider); "
        f"below {FEWEST_TO_RESAMPLE} seeds, which no bootstrap can serve, Student's; below {FEWEST_TO_TEST}, none. "
        + (ORACLE if any(record.selection == "oracle_test" for record in records) else CLEAN)
        + (VAL if any(record.selection == "val" for record in records) else "")
        + (beside(page) if records else "")
        + (f" {protocol.notes}" if protocol.notes else "")
    )


def beside(page: Page) -> str:
    """What stands on the pages beside this one."""
    matrix, costs = (f"[{page.name}.{kind}.md]({page.name}.{kind}.md)" for kind in ("matrix", "costs"))
    return f" Accuracy by session of origin, and by other papers' definitions: {matrix}, seconds and memory: {costs}."


def backbone_lines(records: Sequence[Record]) -> list[str]:
    """A line, and an empty one, with width and parameters of the backbones that the rows of a page stand on, usually one."""
    found = dict.fromkeys(network_of(record.identity) for record in records)
    return [f"Backbone{'s' if len(found) > 1 else ''}, without heads: {', '.join(found)}.", ""] if found else []


def section_lines(section: Section, published: Sequence[PublishedRow]) -> list[str]:
    published = of_length(published, section.records[0].identity.sessions.count + 1)
    lines = ["", f"## {section.name}", "", "### Accuracy after each session", ""]
    lines += [accuracy_table(section, published), "", legend(section), ""]
    for sentence in filter(None, [several_bases(section), far_apart(section)]):
        lines += [sentence, ""]
    last = ["### After the last session", "", final_table(section), ""]
    last += ["### Who is ahead, paired over seeds", "", comparison(section)]
    lines += folded("Base and novel classes after the last session, and who is ahead", last)
    lines += folded("What was printed, and whether it held", printed_lines(section, published))
    lines += folded("What the methods say of themselves", "\n\n".join(log_tables(section)).split("\n") if log_tables(section) else [])
    return [*lines, *folded("What these numbers stand on", ["### What these numbers stand on", "", *provenance(section)])]


def other_lines(sections: Sequence[Section]) -> list[str]:
    """Lines on runs with settings that the protocol's file no longer describes, or that a later version of the method replaced."""
    if not sections:
        return []
    lines = ["", "## Other settings", "", OTHER, ""]
    for section in sections:
        tables = [f"### {section.name}", "", accuracy_table(section, []), "", legend(section), "", final_table(section), ""]
        lines += folded(section.name, [*tables, *provenance(section)])
    return lines


def notes(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {line}" for line in lines)] if lines else []


def as_text(lines: Iterable[object]) -> list[str]:
    """Lines that others wrote, such as a method's error, so that Markdown shows them and takes nothing in them for its own."""
    return [re.sub(r"([\\`<]|\[(?=[^\]]*\]\())", r"\\\1", str(line)) for line in lines]


def write_matrices(page: Page, sections: Sequence[Section], results: Path) -> list[Path]:
    lines = [f"# {page.title}: accuracy by session of origin", "", MATRIX_INTRO, ""]
    for section in sections:
        lines += [f"## {section.name}", "", "### By other definitions", "", definitions_table(section), "", definitions_legend(), ""]
        lines += ["### Session by session", ""]
        for records in section.variants.values():
            lines += [matrix_table(records), ""]
    return written_or_gone(results / f"{page.name}.matrix.md", lines if sections else [])


def write_costs(page: Page, sections: Sequence[Section], results: Path) -> list[Path]:
    lines = [f"# {page.title}: what it cost", "", COSTS_INTRO, ""]
    for section in sections:
        if variants := {variant: pairs for variant, records in section.variants.items() if (pairs := with_costs(records))}:
            lines += [f"## {section.name}", "", cost_table(variants), ""]
    nothing = [] if len(lines) > 4 else ["No file beside a record says what its run cost."]
    return written_or_gone(results / f"{page.name}.costs.md", [*lines, *nothing] if sections else [])


def written_or_gone(path: Path, lines: Sequence[str]) -> list[Path]:
    """Writes a page beside another; without lines, removes what an earlier command wrote there."""
    if lines:
        return [written(path, lines)]
    remove(path)
    return []
