"""The command line in this process, with what it says and how long it may take."""

from __future__ import annotations

import contextlib
import io
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from benchmarks.cli.main import main

SECONDS = 30
SAYS_WHAT = re.compile(
    r"must|is required|unknown key|There are:|cannot|need|not valid YAML|stands twice|no such file|not a value|is not among|write "
    r"|not to be had|runs backwards|more than|leaves no|Did you mean|at most"
)


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    def fault(self, *named: str) -> str:
        """What is wrong with a refusal: '' where it is one line of usable length that names one of these and says what is expected."""
        if self.status != 2 or self.out:
            return f"status {self.status}, printed {self.out[-200:]!r}"
        lines = self.err.splitlines()
        if lines and lines[0].startswith("usage: "):  # argparse's own
            lines = [line for line in lines if line.startswith("run_all.py: ")]
        if len(lines) != 1 or not lines[0].isprintable() or len(lines[0]) > 700:
            return f"not one line: {self.err[-1000:]!r}"
        if not any(name in lines[0] for name in named) and not re.search(r": line \d+: not valid YAML", lines[0]):
            return f"names none of {named}: {lines[0]!r}"
        return "" if SAYS_WHAT.search(lines[0]) else f"does not say what is expected: {lines[0]!r}"


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ask(*arguments: str, command: Callable[[list[str]], int] = main, seconds: int = SECONDS) -> Answer:
    """What the command answers. Whatever it raises, the test gets; a hang becomes a TimeoutError."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), time_limit(seconds):
        try:
            status = command(list(arguments))
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Answer(status, out.getvalue(), err.getvalue())
