"""What was read of a file, kept as long as the file stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def kept_unchanged(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """`read`, done again only for a file that was replaced, or whose time or size has changed. Raises what `read` raises, and OSError
    where there is no file."""

    @lru_cache(maxsize=1024)
    def in_state(path: Path, *state: int) -> T:
        return read(path)

    @wraps(read)
    def of(path: Path) -> T:
        facts = path.stat()
        return in_state(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)

    return of
