"""While a method's code runs, images and results on the disk are blocked.

Python's audit hooks see every file that Python itself opens. A guard against shortcuts, not a prison: a method runs in this
process, and whoever means to break out of it can. Methods are one file each, so that they can be read.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.system.files import SUITE_ROOT
from benchmarks.system.settings import Settings
from methods.contract.memory import LeakError

_blocked: tuple[str, ...] = ()


def folders_to_block(settings: Settings) -> tuple[str, ...]:
    """The decoded images, the base models with their features of test images, the records; all of the data root, unless
    the suite, its environment or temporary files lie in it."""
    root, results = settings.data_root.resolve(), settings.results.resolve()
    others = (SUITE_ROOT, Path(sys.prefix), Path(tempfile.gettempdir()))
    images = root / ".cache" if any(place.resolve().is_relative_to(root) for place in others) else root
    return tuple(str(folder) + os.sep for folder in (images, results / ".base", results / "records"))


@contextmanager
def blocked(places: tuple[str, ...]) -> Iterator[None]:
    """Inside, opening a file below one of these folders raises LeakError, and so does listing all objects of the process."""
    global _blocked
    install()
    before, _blocked = _blocked, places
    try:
        yield
    finally:
        _blocked = before


@cache
def install() -> None:
    """Once a process: a hook cannot be taken away."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _blocked:
        return
    if event == "gc.get_objects":
        raise LeakError("a method looked through all objects of the process; it gets what it may touch from its context")
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(_blocked):
            raise LeakError(f"a method opened {path}; images come from context.images, and results are not for methods")
