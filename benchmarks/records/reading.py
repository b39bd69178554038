"""Records as JSON files, with a checksum (the seal) that is tested when they are read."""

from __future__ import annotations

import hashlib
import json
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.records.migrations import migrated
from benchmarks.records.schema import SCHEMA_VERSION, Record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import read_bytes
from protocols.messages import explain


def to_json(content: dict[str, Any]) -> bytes:
    """JSON with one line per key and one per session, so that diffs are readable. Keys are sorted. Raises ValueError for NaN."""

    def line(value: Any) -> str:
        return json.dumps(value, sort_keys=True, allow_nan=False)

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(map(line, value)) + "\n ]"
        return line(value)

    return ("{\n" + ",\n".join(f" {line(key)}: {text(value)}" for key, value in sorted(content.items())) + "\n}\n").encode()


def seal(content: dict[str, Any]) -> str:
    """Hash of a record's content, which reveals accidental edits. It is not a signature: a forger can compute it, too."""
    return hashlib.sha256(to_json(content)).hexdigest()


def read_record(path: Path) -> Record:
    """Load and check one record of any schema. Raises RecordError naming the file and what is wrong with it."""
    try:
        facts = path.stat()
    except OSError:
        raise RecordError(f"{path}: no such record") from None
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for ever
        raise RecordError(f"{path}: not a file; remove it and run again")
    return _read_record(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8192)
def _read_record(path: Path, *state: int) -> Record:
    """Cached by path and `state` (inode, time, size), since a sweep reads every record at its beginning and for its report."""
    try:
        content = json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not a whole JSON file ({error}); remove it and run again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if is_later(version):
        raise RecordError(f"{path}: record schema {version}, of a later release (this one reads up to {SCHEMA_VERSION}); it is left alone")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise RecordError(f"{path}: record schema {version!r}, this release reads 1 to {SCHEMA_VERSION}; remove it and run again")
    try:
        if version > 1 and content.pop("seal", None) != seal(content):
            raise RecordError(f"{path}: changed after it was written; remove it and run again")
        record = Record.model_validate(migrated(content)).read_from(path)
        _ = record.identity.digest  # settings that are nested too deeply for JSON fail here, and nowhere else
        return record
    except ValidationError as error:
        raise RecordError(f"{path}: {explain(error, Record)}; remove it and run again") from None
    except KeyError as error:
        raise RecordError(f"{path}: {error.args[0]}: is required; remove it and run again") from None
    except (AttributeError, TypeError, RecursionError):  # raised by a migration that finds a list instead of a mapping
        raise RecordError(f"{path}: not a record; remove it and run again") from None
    except ValueError as error:  # NaN, which has no place in JSON and for which `seal` raises
        raise RecordError(f"{path}: {error}; remove it and run again") from None


def is_later(version: Any) -> bool:
    """Whether a schema version belongs to a later release."""
    if isinstance(version, str):
        version = int(version) if version.isdecimal() and len(version) < 10 else None
    return isinstance(version, int | float) and not isinstance(version, bool) and version > SCHEMA_VERSION


def refuse_later(path: Path) -> None:
    """Raises RecordError if this file is a record of a later release; such a record is never replaced."""
    try:
        content = json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(content, dict) and is_later(content.get("schema_version")):
        raise RecordError(f"{path}: holds a record of a later release, which is left alone; take another --results folder")
