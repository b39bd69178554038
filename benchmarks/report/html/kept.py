"""What the page tells of a protocol, kept in results/.index/ until a record, a source or the protocol changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.system.errors import StorageError
from benchmarks.system.files import SUITE_ROOT, read_bytes, write_atomic
from protocols.own_folder import own_folder
from protocols.schema import Protocol

FOLDER = ".index"
PACKAGES = ("benchmarks", "methods", "protocols")
LEVELS = 4
"""Of folders and files below a protocol's records: recipe and split, variant, what lies in its folder, and the traces of a probe."""


def kept(results: Path, protocol: Protocol, sources: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` tells of the protocol, or told when everything was as it is now. The same JSON in both cases. `sources` is the present
    `state_of_sources`."""
    path = results / FOLDER / f"{protocol.name}.json"
    records = state_of(below(results / "records" / protocol.name, LEVELS))
    state = hashlib.sha256("\n".join([protocol.model_dump_json(), sources, records]).encode()).hexdigest()
    with suppress(OSError, ValueError, RecursionError):
        first, _, told = read_bytes(path).partition(b"\n")
        if first == f"{state} {hashlib.sha256(told).hexdigest()}".encode():
            return dict(json.loads(told))
    text = json.dumps(make(), allow_nan=False).encode()
    with suppress(StorageError):  # an archive may be read-only, and a page can do without
        write_atomic(path, f"{state} {hashlib.sha256(text).hexdigest()}\n".encode() + text)
    return dict(json.loads(text))


def state_of_sources() -> str:
    """Hash of the state of all sources and YAML files of the suite, and of the user's own methods."""
    own = own_folder()
    folders = [*(SUITE_ROOT / package for package in PACKAGES), *([] if own is None else [own])]
    return state_of(path for folder in folders for path in sources_in(folder))


def state_of(paths: Iterable[Path]) -> str:
    """Hash of names, kinds, times and sizes; what has vanished meanwhile counts as not there."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            facts = path.stat()
        except OSError:  # a link to nothing is there, and is told of
            digest.update(f"{path}\n".encode(errors="surrogateescape") if path.is_symlink() else b"")
            continue
        said = f"{path} {facts.st_mode} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}\n"
        digest.update(said.encode(errors="surrogateescape"))
    return digest.hexdigest()


def below(folder: Path, levels: int) -> Iterator[Path]:
    """All that lies in a folder and the folders in it, through links too, sorted; hidden entries and locks aside."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError:
        return
    for name, is_folder in found:
        if is_folder and not name.startswith("seed"):
            yield from below(folder / name, levels - 1) if levels > 1 else ()
        elif not name.endswith(".lock"):  # a file, or a folder in its place
            yield folder / name


def sources_in(folder: Path) -> Iterator[Path]:
    """Python and YAML files of a folder, sorted, hidden folders and environments aside."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in ("__pycache__", "site-packages"))
        yield from (Path(place, name) for name in sorted(names) if name.endswith((".py", ".yaml")))
