"""What the page tells of a protocol, kept in results/.index/ until a record, a source or the protocol changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.system.errors import StorageError
from benchmarks.system.files import SUITE_ROOT, read_bytes, write_atomic
from protocols.own_folder import own_folder
from protocols.schema import Protocol

FOLDER = ".index"
PACKAGES = ("benchmarks", "methods", "protocols")


def kept(results: Path, protocol: Protocol, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` tells of the protocol, or told when everything was as it is now. The same JSON in both cases."""
    path, state = results / FOLDER / f"{protocol.name}.json", state_of(results, protocol)
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(read_bytes(path))
        if isinstance(content, dict) and content.get("state") == state and isinstance(content.get("told"), dict):
            return dict(content["told"])
    told = json.dumps(make(), allow_nan=False)
    with suppress(StorageError):  # an archive may be read-only, and a page can do without
        write_atomic(path, f'{{"state": "{state}", "told": {told}}}'.encode())
    return dict(json.loads(told))


def state_of(results: Path, protocol: Protocol) -> str:
    """Hash of names, times and sizes of all files that the protocol's part of the page is made of, and of the protocol itself."""
    digest = hashlib.sha256(protocol.model_dump_json().encode())
    for path in files(results, protocol):
        facts = path.stat()
        digest.update(f"{path} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def files(results: Path, protocol: Protocol) -> Iterator[Path]:
    """The protocol's records with what lies beside them, and the sources and YAML files of the suite and of the user's own methods."""
    of_runs = (results / "records" / protocol.name).rglob("*")
    yield from sorted(path for path in of_runs if path.suffix in (".json", ".npz") and path.is_file())
    folders = [SUITE_ROOT / package for package in PACKAGES]
    for folder in [*folders, *([] if (own := own_folder()) is None else [own])]:
        yield from sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml") and path.is_file())
