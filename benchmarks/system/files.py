"""Atomic writes, and locks that are released when their owner dies. Errors of the disk are raised as StorageError."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from benchmarks.system.errors import StorageError

SUITE_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds benchmarks/, methods/ and protocols/."""
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
"""Errors of a file system that has no locks (Lustre without flock, NFS without its lock service)."""
STALE_READS = 3
"""How often a file is read whose handle has gone stale, because another node has replaced it on NFS."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to disk, and rename it to `path` in one step. Raises StorageError."""
    scratch = scratch_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target, scratch = owned(scratch)
        with target:
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


def owned(scratch: Path) -> tuple[BinaryIO, Path]:
    """Opens and locks the temporary file for one writer, and returns it with its path. Others wait until it is renamed or its owner has
    died. Where there are no locks, each writer has a temporary file of its own."""
    while True:
        target = scratch.open("ab")
        try:
            fcntl.flock(target, fcntl.LOCK_EX)
        except OSError as error:
            target.close()
            if error.errno not in NO_LOCKS:
                raise
            scratch.unlink(missing_ok=True)
            own = scratch.with_name(f"{scratch.stem}.{uuid.uuid4().hex[:8]}.tmp")
            return own.open("ab"), own
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(target.fileno()), scratch.stat()):
                return target, scratch
        target.close()  # the previous owner has renamed this file, so open a new one


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock on the file `path`. If `wait` is False and another process holds it, yields False at once. Raises StorageError.

    The kernel releases the lock when its owner dies, so a killed run never blocks the next one. The lock file is not removed,
    because two processes could then hold locks on two files of the same name. Where there are no locks, everybody holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise StorageError.of(path, error) from None
    with handle:
        yield acquired(handle.fileno(), path, wait)


@contextmanager
def locked_or_there(path: Path, wait: bool, there: Path) -> Iterator[bool]:
    """As `locked`; yields False at once in a folder that is read-only, if the whole file `there`, for which the lock would be held, is
    written already."""
    with ExitStack() as held:
        try:
            mine = held.enter_context(locked(path, wait))
        except StorageError:
            if os.access(path.parent, os.W_OK) or not there.is_file():
                raise
            mine = False
        yield mine


def acquired(handle: int, path: Path, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return True
        raise StorageError.of(path, error, "locked") from None
    return True


def has_locks(folder: Path) -> bool:
    """Whether files in this folder can be locked. Locks of NFS that are local to a node are not told from others. Raises StorageError."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            fcntl.flock(probe, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise StorageError.of(folder, error) from None
    return True


def time_of(folder: Path) -> float:
    """The time (Unix, in seconds) at which a file written into this folder now is dated. The clock of another machine may keep it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError as error:
        raise StorageError.of(folder, error) from None


def read_bytes(path: Path) -> bytes:
    """The content of a file that another node may just replace: a stale handle is opened again. Raises OSError, also for what is no file:
    reading a pipe would wait for ever."""
    for _ in range(STALE_READS - 1):
        try:
            return read_once(path)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            time.sleep(0.1)
    return read_once(path)


def read_once(path: Path) -> bytes:
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a folder is named by the system
        raise OSError(errno.EINVAL, "is not a file", str(path))
    return path.read_bytes()


def sha256_file(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
