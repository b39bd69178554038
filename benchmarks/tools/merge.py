"""Takes over the records of another results folder: `run_all.py --merge OTHER_RESULTS`.

Each record is checked as `--verify` checks it. One that does not hold, or that differs from the record of its run here, is refused by
name; no record here is replaced. What a record here lacks of what belongs to it, predictions or traces, comes from the other folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records.costs import costs_of
from benchmarks.records.predictions import are_of, kept_predictions
from benchmarks.records.reading import refuse_later
from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.system.errors import RecordError, UsageError
from benchmarks.system.files import locked, read_bytes, remove, write_atomic
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import Expected, expected_of, predictions_fault, split_fault, trace_fault
from protocols.pseudo import is_of
from protocols.reading import plain
from protocols.schema import Protocol


@dataclass
class Merged:
    """What became of the records: how many were taken over or were here already, how many files beside the latter were added, and a line
    for each that was refused."""

    new: int = 0
    here: int = 0
    beside: int = 0
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
    own = settings.results.resolve()
    for store in stores_below(other):
        if own.is_relative_to(other.resolve()) and store.root.resolve().is_relative_to(own):  # it is not merged into itself
            continue
        target = Store(settings.results / store.root.parent.relative_to(other))
        for name in store.protocols():
            if is_of(name, protocol):
                notes += merge_one(store, target, name, protocol, settings, merged)
    if not merged.new + merged.here + len(merged.refused):
        raise UsageError(f"--merge {plain(str(other))}: no records{f' of {protocol.name}' if protocol else ''} in it")
    counted = f"{merged.new} records taken over, {merged.here} were here already, {len(merged.refused)} refused"
    if merged.beside:
        counted += f"; {merged.beside} files beside records that were here added"
    if merged.new or merged.beside:
        counted += "; --report-only writes the tables anew"
    return "\n".join([*notes, *(f"  REFUSED {line}" for line in merged.refused), counted]), len(merged.refused)


def merge_one(store: Store, target: Store, name: str, given: Protocol | None, settings: Settings, merged: Merged) -> list[str]:
    """Takes over the records of one protocol. Returns a line if they cannot be compared with the splits of their seeds."""
    records, faults, _ = store.load(name)
    merged.refused += [plain(f"{store.root}/{fault.removesuffix('; remove it and run again')}") for fault in faults]
    expected, why = expected_of(name, given, settings)
    if expected is not None and records and expected.found[0] is None:
        why = expected.found[1]
    for record in records:
        try:
            added = take_over(store, target, record, expected)
        except RefusedError as error:
            merged.refused.append(plain(f"{record.path}: {error}"))
        else:
            merged.new += added is None
            merged.here += added is not None
            merged.beside += added or 0
    return [f"{name}: not compared with the splits of their seeds: {why}"] if why and records else []


class RefusedError(Exception):
    """Why a record is not taken over."""


def take_over(store: Store, target: Store, record: Record, expected: Expected | None) -> int | None:
    """Copies a sound record and returns None; if it is here already, copies what it lacks, and returns the number of files.

    Raises RefusedError for a record that is not sound, whose run has another result here, or is being done here; StorageError.
    """
    place = target.root / record.path.relative_to(store.root)
    here = in_its_place(target, record, place)
    if here is not None and not lacking(record, here):
        return 0
    for fault in faults_of(store, record, expected):
        raise RefusedError(fault)
    with locked((here or place).with_suffix(".lock"), wait=False) as mine:
        if not mine:
            raise RefusedError("this run is being done here")
        here = in_its_place(target, record, place)
        if here is None:
            copy(record, place)
            return None
        missing = lacking(record, here)
        for path in missing:
            write_atomic(beside(path, record, here), path.read_bytes())
    return len(missing)


def in_its_place(target: Store, record: Record, place: Path) -> Path | None:
    """Where this record is already; None if it is not. Raises RefusedError for another one there, or a file that is none."""
    here = target.find(record.identity)
    if here is not None:
        if here.model_dump(exclude={"schema_version"}) != record.model_dump(exclude={"schema_version"}):
            raise RefusedError(f"its run has another result here, {here.path}; remove one of the two")
        return here.path
    try:
        refuse_later(place)
    except RecordError as error:
        raise RefusedError(str(error)) from None
    if place.exists():
        raise RefusedError(f"a file that is no usable record is in its place, {place}; remove that")
    return None


def faults_of(store: Store, record: Record, expected: Expected | None) -> Iterator[str]:
    """What `--verify` would find."""
    packed = kept_predictions(record)
    yield from [] if packed is None else predictions_fault(record, packed)
    for path in traces(record.path):
        yield from trace_fault(store, record, path.parent.name)
    if expected is not None and (images := expected.found[0]) is not None:
        yield from split_fault(expected, record, images) or []


def traces(path: Path) -> list[Path]:
    """The traces beside the record at this path."""
    return sorted(path.parent.glob(f"*/{path.name}"))


def belongings(record: Record) -> list[Path]:
    """Predictions, costs and traces beside a record."""
    packed = [] if kept_predictions(record) is None else [record.beside(".npz")]
    costs = [] if costs_of(record) is None else [record.beside(".cost.json")]
    return packed + costs + traces(record.path)


def lacking(record: Record, place: Path) -> list[Path]:
    """Files of `record` (predictions, costs, traces) that are missing beside the record at `place`; predictions of another run count as
    missing."""

    def is_there(path: Path) -> bool:
        return are_of(read_bytes(path), record) if path.suffix == ".npz" and path.is_file() else path.exists()

    return [path for path in belongings(record) if not is_there(beside(path, record, place))]


def beside(path: Path, record: Record, place: Path) -> Path:
    """Where what lies at `path` beside a record lies beside one at `place`."""
    inner = path.relative_to(record.path.parent).parent
    return place.parent / inner / (place.stem + path.name.removeprefix(record.path.stem))


def copy(record: Record, place: Path) -> None:
    """Copies a record to this path, after all that belongs to it; what lies there of another goes. Raises StorageError."""
    for left in (place.with_suffix(".npz"), place.with_suffix(".cost.json"), *traces(place)):
        remove(left)
    for path in belongings(record):
        write_atomic(beside(path, record, place), path.read_bytes())
    write_atomic(place, record.path.read_bytes())
    for suffix in (".failed.json", ".failed.txt"):
        remove(place.with_suffix(suffix))
