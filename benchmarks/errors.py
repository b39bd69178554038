"""What can go wrong in ways a user can mend. Each message is one line that names the thing and the mend."""

from protocols import ProtocolError


class UsageError(ValueError):
    """The command line asks for something that does not exist or does not fit."""


class DataError(RuntimeError):
    """A data set is missing, incomplete, unreadable, or not what the protocol says."""


class RecordError(RuntimeError):
    """A result record or a cache that cannot be used: truncated, edited, of another version or protocol."""


USER_ERRORS = (UsageError, DataError, RecordError, ProtocolError)
