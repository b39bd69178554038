"""Counts what a process does to the files under a folder and what it tells of its way, and strikes at a chosen one.

Python's audit events are heard before the deed is done: to strike at one is to stop between two steps. An fsync is no
audit event, so it is wrapped; to strike there leaves half of what was written. Epochs and sessions are told of on a
terminal, so stderr passes for one.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.abc
import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

HALF_WRITTEN = "flush"


@dataclass
class Plan:
    """Where to strike, and how. Processes that share `log` share the count: one line an event, and one of `deed` where they struck.

    `match` are patterns of `kind path`: kinds are probe, open, lock, flush, replace, remove, mkdir; paths are relative to `under`.
    And of `say epoch 1/2`, `say session 1/2`.
    `at` counts the events that match, from 1; 0 strikes at the first that is not in the log yet, so that a command that is
    started again and again is struck everywhere once; -1 never strikes.
    """

    under: str
    log: str
    deed: str
    """`group`, `process` or `launcher`: kill it. `gate`: the first there waits until let go. Else an errno: refuse from there on."""
    match: Sequence[str] = ("*",)
    at: int = -1
    gate: str = ""
    """Socket of the one who lets go."""
    checkpoints: bool = False
    """A base training writes one after every epoch."""


class Saboteur:
    """Hears every event while it has a plan. In a test's own process plans come and go; the hook itself cannot be taken out."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.log = -1
        sys.addaudithook(self.hear)
        self.fsync = os.fsync
        os.fsync = self.flush

    def take(self, plan: Plan | None) -> None:
        if self.plan is not None:
            os.close(self.log)
        self.plan = None
        if plan is not None:
            self.log = os.open(plan.log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            self.plan = plan

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.plan is not None and event in MEANING and (meant := MEANING[event](*arguments)) is not None:
            self.touch(*meant)

    def flush(self, fd: Any) -> None:
        if self.plan is not None:
            self.touch(HALF_WRITTEN, fd)
        self.fsync(fd)

    def touch(self, kind: str, file: Any) -> None:
        assert self.plan is not None
        path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(os.fsdecode(file)).absolute()
        name = str(path)
        if name == self.plan.under or name.startswith(self.plan.under + os.sep):
            self.note(self.plan, f"{kind} {os.path.relpath(name, self.plan.under)}", file)

    def note(self, plan: Plan, event: str, file: Any) -> None:
        if not any(fnmatch(event, pattern) for pattern in plan.match):
            return
        os.write(self.log, f"{event}\n".encode())
        end = os.lseek(self.log, 0, os.SEEK_CUR)  # of this very line: appending is atomic, and the offset is this process's
        earlier = os.pread(self.log, end, 0).decode().splitlines()[:-1]
        if self.due(plan, event, earlier):
            self.plan = None  # what follows is the saboteur's own doing
            try:
                self.strike(plan, event, file)
            finally:
                self.plan = plan

    def due(self, plan: Plan, event: str, earlier: list[str]) -> bool:
        number = 1 + sum(not other.startswith("!") for other in earlier)
        if plan.deed in errno.errorcode.values():
            return number >= plan.at > 0
        if plan.deed == "gate":
            return not any(other.startswith("!") for other in earlier)
        return event not in earlier if plan.at == 0 else number == plan.at

    def strike(self, plan: Plan, event: str, file: Any) -> None:
        os.write(self.log, f"! {plan.deed} at {event}\n".encode())
        if event.startswith(HALF_WRITTEN) and plan.deed not in ("gate", "launcher"):  # where this process goes no further
            os.ftruncate(file, os.fstat(file).st_size // 2)
        if plan.deed == "gate":
            with socket.socket(socket.AF_UNIX) as waiting:
                waiting.connect(plan.gate)
                waiting.sendall(f"{os.getpid()}\n".encode())
                waiting.recv(1)  # nothing, when the other end lets go
        elif plan.deed == "group":
            os.killpg(0, signal.SIGKILL)
        elif plan.deed == "process":
            os.kill(os.getpid(), signal.SIGKILL)
        elif plan.deed == "launcher":
            os.kill(os.getsid(0), signal.SIGKILL)  # a worker lives on for a moment
        else:
            code = getattr(errno, plan.deed)
            raise OSError(code, os.strerror(code))


class Telling:
    """stderr, with the saboteur listening."""

    def __init__(self, out: TextIO, saboteur: Saboteur) -> None:
        self.out, self.saboteur = out, saboteur

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = self.out.write(text)
        for part in re.findall(r"(?:epoch|session) \d+/\d+", text):
            if self.saboteur.plan is not None:
                self.saboteur.note(self.saboteur.plan, f"say {part}", None)
        return written


def opened(path: Any, mode: Any, flags: int) -> tuple[str, Any] | None:
    """Only for writing; a file of a random name counts as its folder."""
    if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR):
        return None
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        return "probe", path
    return ("probe", Path(os.fsdecode(path)).parent) if flags & os.O_EXCL else ("open", path)


MEANING: dict[str, Callable[..., tuple[str, Any] | None]] = {
    "open": opened,
    "fcntl.flock": lambda file, operation: ("lock", file) if operation & fcntl.LOCK_EX else None,
    "os.rename": lambda source, target, *folders: ("replace", target),
    "os.remove": lambda path, *folder: ("remove", path) if os.path.exists(path) else None,  # noqa: PTH110
    "os.mkdir": lambda path, *others: None if os.path.exists(path) else ("mkdir", path),  # noqa: PTH110
}


class OftenFinder(importlib.abc.MetaPathFinder):
    """Imports benchmarks.base.cache with a checkpoint after every epoch."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "benchmarks.base.cache":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.CHECKPOINT_SECONDS = 0.0  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
