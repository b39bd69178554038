"""Blocks access to images and results on the disk, and writing files, while a method's code runs.

Python's audit hooks see every file that Python itself opens, but not those that a library opens in C, as `torch.save` does. Therefore
a method may not read a file that is newer than this process either. This guards against shortcuts, not against intent: a method runs
in this process and can circumvent it. Each method is one file, so that it can be reviewed.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.system.compiling import COMPILED
from benchmarks.system.files import SUITE_ROOT
from benchmarks.system.settings import Settings
from methods.contract.memory import LeakError

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OF_THE_SYSTEM = (os.devnull, "/proc/", "/sys/")
COMPILERS = ("importlib.", "_frozen_importlib", "linecache", "torch._dynamo", "torch._inductor", "triton")
"""Modules that write files of their own, or read new ones, whoever calls them."""
BEGAN = time.time()
KEPT_COMPILED = os.sep + COMPILED + os.sep
"""A folder under the data root that compilers read and write, but no method."""

_blocked: tuple[str, ...] = ()


def folders_to_block(settings: Settings) -> tuple[str, ...]:
    """Folders to block: the data root, the base models with features of test images, and the records.

    If the suite, its environment, the user's own methods or the temporary folder lies inside the data root, only the decoded images in it
    are blocked.
    """
    root, results = settings.data_root.resolve(), settings.results.resolve()
    others = (SUITE_ROOT, Path(sys.prefix), Path(tempfile.gettempdir()), *([settings.methods_dir] if settings.methods_dir else []))
    images = root / ".cache" if any(place.resolve().is_relative_to(root) for place in others) else root
    return tuple(str(folder) + os.sep for folder in (images, settings.bases.resolve(), results / "records"))


@contextmanager
def blocked(places: tuple[str, ...]) -> Iterator[None]:
    """In this context, opening a file below one of these folders or calling gc.get_objects raises LeakError.

    So does code of a method that opens a file for writing, or one that was written since this process began.
    """
    global _blocked
    install()
    before, _blocked = _blocked, places
    try:
        yield
    finally:
        _blocked = before


def blocked_now() -> tuple[str, ...]:
    """The folders that are blocked now."""
    return _blocked


def block(places: tuple[str, ...]) -> None:
    """Blocks these folders until further notice, where one run takes the place of another in the middle of a context."""
    global _blocked
    _blocked = places


@cache
def install() -> None:
    """Install the audit hook, once per process, because a hook cannot be removed."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _blocked:
        return
    if event == "gc.get_objects":
        raise LeakError("a method looked through all objects of the process; it gets what it may touch from its context")
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):  # io.FileIO names the Path itself; a number is no path
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(_blocked) and (KEPT_COMPILED not in path or _called_by_a_method()):
            raise LeakError(f"a method opened {path}; images come from context.images, and results are not for methods")
        _check_cache(path, bool(arguments[2] & WRITING))


def _check_cache(path: str, writing: bool) -> None:
    """Raises LeakError if code of a method is opening this file to keep something in it, or to read what was kept."""
    if path.startswith(OF_THE_SYSTEM) or not (writing or _is_new(path)) or not _called_by_a_method():
        return
    deed = "for writing" if writing else "that was written while the command ran"
    raise LeakError(f"a method opened {path} {deed}; what it keeps must be in self or in its memory, where it is counted")


def _is_new(path: str) -> bool:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_mtime > BEGAN


def _called_by_a_method() -> bool:
    """Whether a method's code is at work, and no compiler or import that it called."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name.startswith(COMPILERS):
            return False
        if name.startswith("methods.") and not name.startswith("methods.contract."):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
