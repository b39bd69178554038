"""Blocks access to images and results on the disk while a method's code runs.

Python's audit hooks see every file that Python itself opens. This guards against shortcuts, not against intent: a method runs in
this process and can circumvent it. Each method is one file, so that it can be reviewed.
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
    """Folders to block: the data root, the base models with features of test images, and the records.

    If the suite, its environment or the temporary folder lies inside the data root, only the decoded images in it are blocked.
    """
    root, results = settings.data_root.resolve(), settings.results.resolve()
    others = (SUITE_ROOT, Path(sys.prefix), Path(tempfile.gettempdir()))
    images = root / ".cache" if any(place.resolve().is_relative_to(root) for place in others) else root
    return tuple(str(folder) + os.sep for folder in (images, results / ".base", results / "records"))


@contextmanager
def blocked(places: tuple[str, ...]) -> Iterator[None]:
    """In this context, opening a file below one of these folders or calling gc.get_objects raises LeakError."""
    global _blocked
    install()
    before, _blocked = _blocked, places
    try:
        yield
    finally:
        _blocked = before


@cache
def install() -> None:
    """Install the audit hook, once per process, because a hook cannot be removed."""
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
