"""Which page a run stands on: the protocol's own, or that of a group of methods, which no test of the protocol's page knows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.stated import stated_group, stated_presets
from benchmarks.report.matching import parts
from protocols.schema import Protocol

OTHER_BASES = "modern"
"""The group's page on which runs on an asked base kind (METHOD@KIND) stand, if their method has no group."""


@dataclass
class Found:
    """What one page tells: records, lines about records that cannot be used, and failed runs."""

    records: list[Record] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    failures: list[FailedRun] = field(default_factory=list)


class Run(NamedTuple):
    """What says where a run stands. `asked` is the base kind named with @KIND, `base` the kind that it stands on; '' for none, or unknown.
    `group` is the one that its record names."""

    method: str
    preset: str
    asked: str
    base: str
    group: str = ""


def placed(protocol: Protocol, records: Sequence[Record], faults: Sequence[str], failures: Sequence[FailedRun]) -> dict[str, Found]:
    """Group of a page, '' for the protocol's own -> what stands on it."""
    pages: defaultdict[str, Found] = defaultdict(Found)
    known: dict[Run, str] = {}

    def page(run: Run) -> Found:
        if run not in known:
            known[run] = group_of(protocol, run)
        return pages[known[run]]

    for record in records:
        page(run_of(record.identity, record.group)).records.append(record)
    for failed in failures:
        page(run_of(failed.identity, failed.group) if failed.identity else run_named(failed.variant)).failures.append(failed)
    for fault in faults:
        place = fault.partition(": ")[0].split("/")  # protocol, recipe and split, variant, file
        page(run_named(place[2]) if len(place) > 2 else Run("", "", "", "")).faults.append(fault)
    return dict(pages)


def run_of(identity: Identity, group: str = "") -> Run:
    return Run(identity.method, identity.preset, identity.asked_base or "", identity.base, group)


def run_named(text: str) -> Run:
    """The run of a variant or of a folder's name: `proto:raw_mean@cosine[...]`, `proto-raw_mean@cosine-1a2b3c4d`."""
    named = re.match(r"(\w*)(?:[:-](\w+))?", text)
    asked = re.search(r"@(\w+)", text.partition("[")[0])
    method, preset = (named[1], named[2]) if named else ("", None)
    return Run(method, preset or "", asked[1] if asked else "", "")


def group_of(protocol: Protocol, run: Run) -> str:
    """Group of the page that a run stands on; '' for the protocol's own page, where all stand that the protocol's list names.

    A method's file says its group. Where it cannot be read, the record does; where that says nothing, an asked base kind decides alone.
    """
    stated = stated_group(run.method)
    group = run.group if stated is None else stated
    group = group or (OTHER_BASES if run.asked else "")
    return "" if group and any(names(text, run, group) for text in protocol.methods or ()) else group


def names(text: str, run: Run, group: str) -> bool:
    """Whether an entry of a protocol's list is this run's: METHOD[:PRESET][@KIND], the first preset if it names none, or a group."""
    method, preset, kind = parts(text)
    first = next(iter(stated_presets(run.method) or {run.preset: {}}))
    of_method = method == run.method or text == group
    return of_method and (preset or first) == run.preset and kind in (run.asked, run.base or run.asked)


def page_name(protocol: Protocol, group: str) -> str:
    """Name of a page without `.md`."""
    return f"{group}.{protocol.name}" if group else protocol.name
