"""Atomic writes, and locks that are released when their owner dies. Errors of the disk are raised as StorageError."""

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
    """Write to a temporary file beside `path`, flush it to disk, and rename it to `path` in one step. Raises StorageError."""
    scratch = scratch_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with owned(scratch) as target:
            try:
                target.truncate(0)  # discard what a killed writer left
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
    """Remove a file and its temporary file, if they exist. Only the file's single writer may call this. Raises StorageError."""
    try:
        scratch_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError.of(path, error, "removed") from None


def move(source: Path, target: Path) -> None:
    """Puts a whole file in the place of another in one step. Raises StorageError."""
    try:
        os.replace(source, target)
    except OSError as error:
        raise StorageError.of(target, error) from None


def scratch_of(path: Path) -> Path:
    """The temporary file of `path`. Its name is fixed, so that leftovers of killed writers are overwritten and do not accumulate."""
    return path.with_name(f".{path.name}.tmp")


def owned(scratch: Path) -> BinaryIO:
    """Opens and locks the temporary file for one writer. Others wait until it is renamed or its owner has died."""
    while True:
        target = scratch.open("ab")
        fcntl.flock(target, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(target.fileno()), scratch.stat()):
                return target
        target.close()  # the previous owner has renamed this file, so open a new one


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock on the file `path`. If `wait` is False and another process holds it, yields False at once. Raises StorageError.

    The kernel releases the lock when its owner dies, so a killed run never blocks the next one. The lock file is not removed,
    because two processes could then hold locks on two files of the same name.
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
