"""Errors that a user can fix. Each message is one line that names the problem and the remedy."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from protocols.reading import InputError

MENDS = {
    errno.ENOSPC: "free room",
    errno.EDQUOT: "free room",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EIO: "see to the disk",
}
"""Errors of the disk, which can happen at any write in a run, with their remedies."""
OTHER_MENDS = {
    errno.EACCES: "give yourself access to it",
    errno.EPERM: "give yourself access to it",
    errno.EISDIR: "move the folder that is in its place",
    errno.EEXIST: "move the file that is in its folder's place",
    errno.ENOTDIR: "move the file that is in its folder's place",
}


class UsageError(ValueError):
    """The command line asks for something that does not exist or does not fit."""


class DataError(RuntimeError):
    """A data set is missing, incomplete, unreadable, or not what the protocol says."""


class NotHereError(DataError):
    """A data set or weights are not on this disk yet, and cannot be fetched, or may not be now."""


class RecordError(RuntimeError):
    """A result record or a cache cannot be used: truncated, edited, of another version or protocol."""


class StorageError(RuntimeError):
    """A file of the results or of a cache cannot be written or read. It is not the fault of a run, so it stops the whole sweep."""

    @classmethod
    def of(cls, path: Path, error: OSError, what: str = "written") -> Self:
        """Builds the error from an operating-system error about `path`; `what` names the operation, e.g. "read"."""
        mend = (MENDS | OTHER_MENDS).get(error.errno or 0, "see to it")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return cls(f"{path}: cannot be {what} ({reason}); {mend}, then run the same command again: it goes on where it stopped")


class BusyError(RuntimeError):
    """Another process does what a run needs. `lock` is the file that it holds until it is done; if it holds that for other work as well,
    `awaited` is the file that the run waits for."""

    def __init__(self, lock: Path, awaited: Path | None = None) -> None:
        super().__init__(f"{lock}: held by another process")
        self.lock, self.awaited = lock, awaited


def storage_error(error: BaseException) -> StorageError | None:
    """The disk error behind a run's error, however it is wrapped (torch wraps errors inside its compiler); None if there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, StorageError):
            return seen
        if isinstance(seen, OSError) and seen.errno in MENDS:
            return StorageError.of(Path(seen.filename or tempfile.gettempdir()), seen)
        seen = getattr(seen, "inner_exception", None) or seen.__cause__ or seen.__context__
    return None


SESSION = "session "
"""How a note begins that names the session in which a run failed."""
USER_ERRORS = (UsageError, DataError, RecordError, StorageError, InputError)


@contextmanager
def failing_in(session: int) -> Iterator[None]:
    """Notes the session at an error, which its line then names."""
    try:
        yield
    except (Exception, SystemExit) as error:
        error.add_note(f"{SESSION}{session}")
        raise
