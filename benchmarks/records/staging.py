"""What belongs to a record that replaces another waits beside its place until the record is there: a process that is killed, or a disk that
fails, at any time leaves one whole run, and the next command ends what it began.

Predictions are staged last and moved last. So where they wait, all that belongs to their record does, or has been moved already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.records.predictions import are_of
from benchmarks.records.reading import read_record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import locked, move, remove, write_atomic

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


def finish_replacing(root: Path, protocol: str) -> None:
    """Ends what was interrupted in a protocol's folder: puts in place what belongs to a record that is there, removes what belongs to one
    that was not written. Runs that another process does are left to it. Raises StorageError."""
    folder = root / protocol
    left = [path for where in ("*/*", "*/*/*") for path in folder.glob(f"{where}/.*{ENDING}*")]  # of runs, and of their probes
    targets = {path.with_name(path.name.removesuffix(".tmp").lstrip(".").removesuffix(ENDING)) for path in left}
    records: dict[Path, list[Path]] = {}
    for target in targets:
        of_run = target.parent if len(target.relative_to(folder).parts) == 3 else target.parent.parent
        records.setdefault(of_run / f"{target.name.partition('.')[0]}.json", []).append(target)
    for record, belongings in records.items():
        with locked(record.with_suffix(".lock"), wait=False) as mine:
            if mine:
                finish(record, belongings)


def finish(place: Path, belongings: list[Path]) -> None:
    predictions = staged(place.with_suffix(".npz"))
    try:
        written = predictions.is_file() and are_of(predictions.read_bytes(), read_record(place))
    except RecordError:  # none, or a damaged one, which a page tells
        written = False
    if written:
        put_in_place(belongings)
    else:
        for path in belongings:
            remove(staged(path))
