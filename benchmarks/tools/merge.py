"""Takes over the records of another results folder: `run_all.py --merge OTHER_RESULTS`.

Each record is checked as `--verify` checks it. One that does not hold, or that differs from the record of its run here, is refused by
name; nothing here is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records.costs import costs_of
from benchmarks.records.predictions import kept_predictions
from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.system.errors import UsageError
from benchmarks.system.files import locked, remove, write_atomic
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import Expected, expected_of, predictions_fault, split_fault, trace_fault
from protocols.pseudo import is_of
from protocols.reading import plain
from protocols.schema import Protocol


@dataclass
class Merged:
    """What became of the records: how many were taken over or were here already, and a line for each that was refused."""

    new: int = 0
    here: int = 0
    refused: list[str] = field(default_factory=list)


def merge(other: Path, protocol: Protocol | None, settings: Settings) -> tuple[str, int]:
    """Copies the records below the folder `other`, those of one protocol if it is given, with all that belongs to them, to the same places
    in the results folder.

    Returns lines that say what was done, and how many records were refused. Raises UsageError for a folder without records, StorageError.
    """
    if not other.is_dir():
        raise UsageError(f"--merge {plain(str(other))}: no such folder")
    if other.resolve() == settings.results:
        raise UsageError(f"--merge {plain(str(other))}: is the results folder itself; name another, or another --results")
    merged, notes = Merged(), []
    for store in stores_below(other):
        target = Store(settings.results / store.root.parent.relative_to(other))
        for name in store.protocols():
            if is_of(name, protocol):
                notes += merge_one(store, target, name, protocol, settings, merged)
    if not merged.new + merged.here + len(merged.refused):
        raise UsageError(f"--merge {plain(str(other))}: no records{f' of {protocol.name}' if protocol else ''} in it")
    counted = f"{merged.new} records taken over, {merged.here} were here already, {len(merged.refused)} refused"
    if merged.new:
        counted += "; --report-only writes the tables anew"
    return "\n".join([*notes, *(f"  REFUSED {line}" for line in merged.refused), counted]), len(merged.refused)


def merge_one(store: Store, target: Store, name: str, given: Protocol | None, settings: Settings, merged: Merged) -> list[str]:
    """Takes over the records of one protocol. Returns a line if they cannot be compared with the splits of their seeds."""
    records, faults, _ = store.load(name)
    merged.refused += faults
    expected, why = expected_of(name, given, settings)
    if expected is not None and records and expected.found[0] is None:
        why = expected.found[1]
    for record in records:
        refusal = next(faults_of(store, target, record, expected), None) or take_over(store, target, record)
        if refusal == HERE:
            merged.here += 1
        elif refusal is not None:
            merged.refused.append(plain(f"{record.path.relative_to(store.root)}: {refusal}"))
        else:
            merged.new += 1
    return [f"{name}: not compared with the splits of their seeds: {why}"] if why and records else []


HERE = "it is here already"


def take_over(store: Store, target: Store, record: Record) -> str | None:
    """Copies a sound record, unless its run is being done here or was done here meanwhile: then returns that."""
    place = target.root / record.path.relative_to(store.root)
    with locked(place.with_suffix(".lock"), wait=False) as mine:
        refusal = next(in_its_place(store, target, record), None) if mine else "this run is being done here"
        if refusal is None:
            copy(record, place)
    return refusal


def in_its_place(store: Store, target: Store, record: Record) -> Iterator[str]:
    """What is here where the record would be."""
    here = target.find(record.identity)
    if here is not None:
        same = here.model_dump(exclude={"schema_version"}) == record.model_dump(exclude={"schema_version"})
        yield HERE if same else f"its run has another result here, {here.path.relative_to(target.root)}; remove one of the two"
    elif (target.root / record.path.relative_to(store.root)).exists():
        yield "a file that is no usable record is in its place here; remove that"


def faults_of(store: Store, target: Store, record: Record, expected: Expected | None) -> Iterator[str]:
    """Reasons not to take over a record."""
    yield from in_its_place(store, target, record)
    packed = kept_predictions(record)
    yield from [] if packed is None else predictions_fault(record, packed)
    for path in record.path.parent.glob(f"*/{record.path.name}"):
        yield from trace_fault(store, record, path.parent.name)
    if expected is not None and (images := expected.found[0]) is not None:
        yield from split_fault(expected, record, images) or []


def copy(record: Record, place: Path) -> None:
    """Copies a record to this path, after all that belongs to it. Raises StorageError."""
    if (packed := kept_predictions(record)) is not None:
        write_atomic(place.with_suffix(".npz"), packed)
    if costs_of(record) is not None:
        write_atomic(place.with_suffix(".cost.json"), record.beside(".cost.json").read_bytes())
    for path in record.path.parent.glob(f"*/{record.path.name}"):
        write_atomic(place.parent / path.parent.name / place.name, path.read_bytes())
    write_atomic(place, record.path.read_bytes())
    for suffix in (".failed.json", ".failed.txt"):
        remove(place.with_suffix(suffix))
