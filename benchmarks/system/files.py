"""Files that are either whole or not there, and locks that die with their owner. The disk's refusals are StorageErrors."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from benchmarks.system.errors import StorageError

SUITE_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds benchmarks/, methods/ and protocols/."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to disk, and put it in place in one step. Raises StorageError."""
    scratch = scratch_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with owned(scratch) as target:
            try:
                target.truncate(0)  # of what a killed writer left
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
                os.replace(scratch, path)
            except BaseException:
                with suppress(OSError):
                    scratch.unlink()
                raise
    except OSError as error:
        raise StorageError.of(path, error) from None


def remove(path: Path) -> None:
    """Remove a file where it is there, and what a killed writer of it left. For its only writer. Raises StorageError."""
    try:
        scratch_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError.of(path, error, "removed") from None


def scratch_of(path: Path) -> Path:
    """Where a file is before it is whole. One name: what a killed writer left is written over, and never heaps up."""
    return path.with_name(f".{path.name}.tmp")


def owned(scratch: Path) -> BinaryIO:
    """The temporary file, opened for the one process that may write to it: others wait until it is in place, or its owner dead."""
    while True:
        target = scratch.open("ab")
        fcntl.flock(target, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(target.fileno()), scratch.stat()):
                return target
        target.close()  # put in place by the one who was waited for


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path`; yields False at once where another process holds it and `wait` is False. Raises StorageError.

    The kernel drops the lock when its owner dies, so a killed run never blocks the next one. The lock file stays: to
    remove it would let two processes hold locks on two files of one name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise StorageError.of(path, error) from None
    with handle:
        yield acquired(handle.fileno(), path, wait)


def acquired(handle: int, path: Path, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError.of(path, error, "locked") from None
    return True


def sha256_file(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
