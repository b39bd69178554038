"""The rows that can be held against each other: one block a section of a protocol's page, with the variants that studies show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.matching import labels_of, without_studied
from benchmarks.report.pages import with_controls, without_controls
from benchmarks.report.placing import Found, page_name, placed
from benchmarks.report.printed import of_length
from benchmarks.report.section import Section
from benchmarks.report.sections import alike, make_sections
from protocols import printed_beside
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from protocols.study import Study


@dataclass(frozen=True, eq=False)
class Block:
    """A section of a page. `studied`: variant -> the studies whose pages show it instead; `current`: whether the protocol's file
    describes these settings now; `published`: rows of papers that may stand beside."""

    protocol: Protocol
    page: str
    section: Section
    studied: dict[str, list[str]]
    current: bool
    published: Sequence[PublishedRow]

    @property
    def shown(self) -> Section:
        """The section as its page shows it."""
        kept = {variant: records for variant, records in self.section.variants.items() if variant not in self.studied}
        return replace(self.section, variants=kept)


@dataclass(frozen=True)
class Content:
    """What is known of one protocol: blocks, lines about records that cannot be used, failed runs."""

    blocks: list[Block]
    faults: list[str]
    failures: list[FailedRun]


def content_of(protocol: Protocol, store: Store, studies: Sequence[Study]) -> Content:
    records, faults, failures = store.load(protocol.name)
    found = placed(protocol, records, faults, failures)
    blocks: list[Block] = []
    for group in sorted(found):
        others = [record for other, of_other in found.items() if other != group for record in of_other.records]
        blocks += blocks_of(protocol, group, found[group], others, studies)
    return Content(blocks, faults, failures)


def blocks_of(protocol: Protocol, group: str, found: Found, others: Sequence[Record], studies: Sequence[Study]) -> list[Block]:
    """The blocks of one page, '' for the protocol's own; `others` are the records of all other pages."""
    grouped = with_controls(protocol, found, others) if group else make_sections(protocol, found.records, found.failures)
    page, published = page_name(protocol, group), printed_beside(protocol, group)
    blocks = []
    for whole in grouped.current:
        studied = studied_in(whole, studies, others)
        beside = of_length(published, whole.records[0].identity.sessions.count + 1)
        for part in without_controls([whole], found.records) if group else [whole]:
            of_part = {variant: names for variant, names in studied.items() if variant in part.variants}
            blocks.append(Block(protocol, page, part, of_part, True, beside))
    other = without_controls(grouped.other, found.records) if group else grouped.other
    return [*blocks, *(Block(protocol, page, section, {}, False, ()) for section in other)]


def studied_in(section: Section, studies: Sequence[Study], others: Sequence[Record]) -> dict[str, list[str]]:
    """Variant -> names of the studies that show it, for variants that are not on the page itself."""
    elsewhere = alike(section, others)
    kept, moved = without_studied(section, studies, elsewhere)
    found: dict[str, list[str]] = {variant: [] for variant in section.variants if variant not in kept.variants}
    for study in (study for study in studies if study.name in moved):
        for variant in labels_of(study, [*section.records, *elsewhere]):
            if variant in found:
                found[variant].append(study.name)
    return found
