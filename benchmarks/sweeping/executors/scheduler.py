"""What a launcher asks of Slurm or Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from benchmarks.sweeping.executors.plans import Plan

Element = tuple[str, int]
"""Name of the plan's folder, and number of the element in it."""
QUEUED = "queued"
"""Beginning of the state of an element that has not begun."""


class FullError(RuntimeError):
    """The scheduler takes no more elements, or not so many at once, for now."""


class Scheduler(Protocol):
    name: str
    most: int
    """How many elements one plan may hold."""

    def alive(self) -> Mapping[Element, str]:
        """The state of all elements that are queued or at work, those of other launchers on this results folder included. Where the
        scheduler does not answer, what it said last."""

    def submit(self, folder: Path, plan: Plan) -> None:
        """Queues all elements of the plan in this folder. Raises FullError, or UsageError if it is refused for good."""

    def ended(self, element: Element) -> str:
        """The last state of an element that is not alive, in the scheduler's words."""

    def how_to_stop(self, elements: Iterable[Element]) -> str:
        """What becomes of these elements when the launcher is closed, and how to stop them."""

    def close(self) -> None:
        """Called when the launcher ends."""
