"""Runs an element in a session of its own. This is what Slurm or Ray start on a node; it imports nothing of the suite.

A scheduler's signals reach the process that it started, and perhaps its children. The element is out of their reach: it is told to stop,
and ends without a run that counts as failed. It also stops when this process is gone, because its standard input closes then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MODULE = "benchmarks.sweeping.executors.element"
PATIENCE = 20.0
"""Seconds that an element has to stop."""


def supervise(plan: str, number: int, root: str, environment: Mapping[str, str] | None = None) -> int:
    """Runs the element of this number to its end, and returns its exit status. `root` is the folder that holds the suite.

    What is left of its processes is killed at the end, also if this process is interrupted.
    """
    changed = {**os.environ, **(environment or {})}
    changed["PYTHONSAFEPATH"] = "1"  # the working folder may hold packages of the same names
    changed["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    line = [sys.executable, "-W", "ignore", "-m", MODULE, plan, str(number)]
    process = subprocess.Popen(line, env=changed, stdin=subprocess.PIPE, start_new_session=True)
    try:
        return process.wait()
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all of its session."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Job:
    """An element as submitit takes it: a function that may be interrupted and queued again."""

    def __init__(self, plan: str, number: int, root: str) -> None:
        self.plan, self.number, self.root = plan, number, root

    def __call__(self) -> None:
        """Raises RuntimeError if the element does not come to its end, so that Slurm lists it as failed."""
        if status := supervise(self.plan, self.number, self.root):
            raise RuntimeError(f"the element ended with status {status}")

    def checkpoint(self) -> Any:
        """What is to be queued when Slurm interrupts the element: the same once more. Records say what is done by then."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Job(self.plan, self.number, self.root))
