"""What belongs to a record that replaces another waits beside its place until the record is there: a process that is killed, or a disk that
fails, at any time leaves one whole run, and the next command ends what it began (where there are locks).

Predictions are staged last and moved last. So where they wait, all that belongs to their record does, or has been moved already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.records.predictions import are_of
from benchmarks.records.reading import read_record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import has_locks, locked, move, remove, write_atomic

ENDING = ".staged"


def staged(path: Path) -> Path:
    """Where a file waits until the record that it belongs to is written."""
    return path.with_name(f".{path.name}{ENDING}")


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Predictions last."""
    return sorted(paths, key=lambda path: (path.suffix == ".npz", path))


def stage(belongings: Mapping[Path, bytes]) -> None:
    for path in in_order(belongings):
        write_atomic(staged(path), belongings[path])


def put_in_place(paths: Iterable[Path]) -> None:
    for path in in_order(paths):
        if staged(path).exists():
            move(staged(path), path)


def waits_for(left: Path) -> Path:
    """Whose place a staged file waits for, or a temporary file of one, whatever its writer added to the name."""
    return left.with_name(left.name.rpartition(ENDING)[0].lstrip("."))


def finish_replacing(root: Path, protocol: str) -> None:
    """Ends what was interrupted in a protocol's folder: puts in place what belongs to a record that is there, removes what belongs to one
    that was not written. Runs that another process does are left to it. Where there are no locks nobody can tell which these are, so that
    everything stays as it is. Raises StorageError."""
    folder = root / protocol
    left = [path for where in ("*/*", "*/*/*") for path in folder.glob(f"{where}/.*{ENDING}*")]  # of runs, and of their probes
    if not left or not has_locks(folder):
        return
    records: dict[Path, list[Path]] = {}
    for path in left:
        of_run = path.parent if len(path.relative_to(folder).parts) == 3 else path.parent.parent
        records.setdefault(of_run / f"{waits_for(path).name.partition('.')[0]}.json", []).append(path)
    for record, belongings in records.items():
        with locked(record.with_suffix(".lock"), wait=False) as mine:
            if mine:
                finish(record, belongings)


def finish(place: Path, left: Sequence[Path]) -> None:
    predictions = staged(place.with_suffix(".npz"))
    try:
        written = predictions.is_file() and are_of(predictions.read_bytes(), read_record(place))
    except RecordError:  # none, or a damaged one, which a page tells
        written = False
    if written:
        put_in_place({waits_for(path) for path in left})
    for path in left:
        remove(path)
