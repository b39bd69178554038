"""Writes all pages of a protocol: its own, and one for each group of methods, results/<group>.<protocol>.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.bases import CONTROLS, LEGEND, by_base, control, is_control, overview
from benchmarks.report.command import command_of
from benchmarks.report.matching import without_studied
from benchmarks.report.placing import OTHER_BASES, Found, page_name, placed
from benchmarks.report.printed import not_run_lines, of_length, stands_beside
from benchmarks.report.section import Section
from benchmarks.report.sections import Sections, alike, make_sections, table_of, told_apart
from benchmarks.report.tables import marked, one_run_rows
from benchmarks.report.write import Page, Shown, about_page, section_lines, write_own, write_page
from protocols import printed_beside
from protocols.pseudo import ENDING
from protocols.schema import Protocol
from protocols.study import Study, load_study, study_names


def write_report(protocol: Protocol, results: Path) -> list[Path]:
    """Writes the protocol's own page and those of groups, and returns their paths.

    Without any record, its own page holds the published rows only; raises RecordError if there are none of these either. With records
    of groups alone, its own page is left as it is.
    """
    found = placed(protocol, *Store(results).load(protocol.name))
    studies = [load_study(name) for name in study_names()]
    paths = []
    if "" in found or not found:
        others = [record for group, of_group in found.items() if group for record in of_group.records]
        paths += write_own(protocol, found.get("", Found()), others, studies, results)
    for group in sorted(filter(None, found)):
        others = [record for other, of_other in found.items() if other != group for record in of_other.records]
        paths += write_group(protocol, group, found[group], others, studies, results)
    return paths


def write_group(
    protocol: Protocol, group: str, found: Found, others: Sequence[Record], studies: Sequence[Study], results: Path
) -> list[Path]:
    """Writes the page of a group; `others` are the records of all other pages."""
    grouped = with_controls(protocol, found, others)
    published = printed_beside(protocol, group)
    page = Page(page_name(protocol, group), f"{protocol.title}: {title_of(group)}")
    shown = Shown([], without_controls(grouped.other, found.records), set())
    lines: list[str] = []
    for whole in grouped.current:
        without, moved = without_studied(whole, studies, alike(whole, others))
        parts = without_controls([without], found.records)
        shown.current.extend(parts)
        shown.studies.update(moved)
        if parts:
            same = one_run_rows(replace(whole, variants={name: rows for part in parts for name, rows in part.variants.items()}))
            lines += ["", f"**{whole.name}**", "", overview(parts), *lacking(protocol, parts), *(["", same] if same else [])]
    if lines:
        known = marked([record for section in shown.current for record in section.records])
        lines = ["", "## Which base session each row stands on", *lines, "", " ".join([LEGEND, *known])]
    for section in shown.current:
        lines += section_lines(section, [row for row in published if stands_beside(row, section)])
    rows = [row for row in of_length(published, protocol.sessions.count + 1) if not any(stands_beside(row, of) for of in shown.current)]
    lines += ["", *not_run_lines(protocol, rows)] if rows else []
    records = [record for section in (*shown.current, *shown.other) for record in section.records]
    end = [*about_page(protocol, page, records, found.failures), "", about(protocol, group, results)]
    return write_page(protocol, page, [f"# {page.title}", *lines], shown, found, results, end)


def with_controls(protocol: Protocol, found: Found, others: Sequence[Record]) -> Sections:
    """The sections of a group's page. Of `others`, the controls are shown again where rows of this page stand on their base session."""
    tables = {table_of(record.identity) for record in found.records}
    beside = [record for record in others if is_control(record) and table_of(record.identity) in tables]
    return make_sections(protocol, [*found.records, *beside], found.failures)


def title_of(group: str) -> str:
    return f"methods of the group {group}" + (", and other base sessions" if group == OTHER_BASES else "")


def about(protocol: Protocol, group: str, results: Path) -> str:
    """What stands on a group's page and why. The protocol's own page is written before, if there are records for it."""
    others = ", and any method on a base session that is not its own (METHOD@KIND)" if group == OTHER_BASES else ""
    own = f"{protocol.name}.md"
    own = f"[{own}]({own})" if (results / own).exists() else f"`{own}`"
    controls = " and ".join(f"`{name}`" for name in CONTROLS)
    return (
        f"On this page: methods that take part only when asked, by name or by `--methods {group}`{others}. None of them is on {own}, or in "
        "a test there. Rows are ranked and tested only beside rows on the same base session, which heads them: its kind, the settings "
        f"that are not its defaults, and what the recipe changes for it. {controls} on the same base stand beside them, "
        "shown again where they are rows of another page."
    )


def without_controls(sections: Sequence[Section], own: Sequence[Record]) -> list[Section]:
    """The sections parted by base session, without parts that hold rows of other pages alone."""
    of_page = {id(record) for record in own}
    parts = [part for section in sections if section.variants for part in by_base(section)]
    return told_apart([part for part in parts if any(id(record) in of_page for record in part.records)])


def lacking(protocol: Protocol, parts: Sequence[Section]) -> list[str]:
    """A line for each base session on which a method is missing that should stand beside all others, with the command that runs it; none
    for the points of a search, which no command runs beside others."""
    if protocol.name.endswith(ENDING):
        return []
    lines = []
    for part in parts:
        base = part.records[0].identity.base
        if missing := [name for name in CONTROLS if control(part, name) is None]:
            methods = ",".join(f"{name}@{base}" for name in missing)
            command = f"{command_of(protocol)} --recipe {part.recipe} --split {part.split} --methods {methods}"
            lines += [
                "",
                f"- No {' and no '.join(missing)} on {part.differs}: `{command}`, with `--set {base}.FIELD=VALUE` where it differs.",
            ]
    return lines
