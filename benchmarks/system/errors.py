"""What can go wrong in ways a user can mend. Each message is one line that names the thing and the mend."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Self

from protocols import ProtocolError

MENDS = {
    errno.ENOSPC: "free room",
    errno.EDQUOT: "free room",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EIO: "see to the disk",
}
"""Errors that any write meets where the disk refuses it, wherever in a run it happens."""
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


class RecordError(RuntimeError):
    """A result record or a cache that cannot be used: truncated, edited, of another version or protocol."""


class StorageError(RuntimeError):
    """A file of the results or of a cache that cannot be written or read. No run's fault: it stops the whole sweep."""

    @classmethod
    def of(cls, path: Path, error: OSError, what: str = "written") -> Self:
        """From what the operating system says of `path`."""
        mend = (MENDS | OTHER_MENDS).get(error.errno or 0, "see to it")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return cls(f"{path}: cannot be {what} ({reason}); {mend}, then run the same command again: it goes on where it stopped")


def storage_error(error: BaseException) -> StorageError | None:
    """What a run's error says of the disk, however it is wrapped (torch wraps what happens inside its compiler); None for others."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, StorageError):
            return seen
        if isinstance(seen, OSError) and seen.errno in MENDS:
            return StorageError.of(Path(seen.filename or tempfile.gettempdir()), seen)
        seen = getattr(seen, "inner_exception", None) or seen.__cause__ or seen.__context__
    return None


USER_ERRORS = (UsageError, DataError, RecordError, StorageError, ProtocolError)
