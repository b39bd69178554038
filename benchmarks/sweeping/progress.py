"""Live progress on stderr: which run, which session, accuracy so far, estimated time left."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Literal, TextIO

QUIET_INTERVAL = 15.0  # seconds between status lines if stderr is not a terminal


@dataclass(frozen=True)
class Event:
    """A worker's report about a run. `seconds` is set for `done`; `elsewhere` means that another process did the run.

    `later`: the worker has put the run off, since another process trains its base. `waits`: a worker has nothing to do but to wait for
    this run, for the reason in `text`.

    A `halt` concerns no single run: the sweep must stop, for the reason in `text`.
    """

    kind: Literal["start", "progress", "done", "failed", "elsewhere", "later", "waits", "halt"]
    variant: str = ""
    seed: int = 0
    text: str = ""
    seconds: float = 0.0
    key: str = ""


class Progress:
    """Prints one line per finished run, and a status line in between."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.live = self.out.isatty()
        self.running: dict[tuple[str, int], str] = {}
        self.ended_runs: set[tuple[str, int]] = set()
        self.left: Counter[str] = Counter()
        self.took: defaultdict[str, list[float]] = defaultdict(list)
        self.total = 0
        self.workers = 1
        self.printed = time.monotonic()

    def start(self, variants: Sequence[str], skipped: int, workers: int) -> None:
        """Prints the totals. `variants` holds the variant of each run to do."""
        self.left, self.total, self.workers = Counter(variants), len(variants), workers
        self._line(f"{self.total} runs to do, {skipped} already done, {workers} worker{'s' if workers > 1 else ''}")

    def event(self, event: Event) -> None:
        run = (event.variant, event.seed)
        if run in self.ended_runs:  # every worker reports a run that is done already, and some reports are late
            return
        if event.kind in ("start", "progress"):
            self.running[run] = event.text
            self.tick()
            return
        if event.kind == "later":
            self.running.pop(run, None)
            return
        if event.kind == "waits":
            self.running.setdefault(run, event.text)  # another worker of this sweep may be doing it, and says more
            self.tick()
            return
        self.ended_runs.add(run)
        self.running.pop(run, None)
        self.left[event.variant] -= 1
        name = f"[{self.ended}/{self.total}] {event.variant} seed {event.seed}"
        if event.kind == "done":
            self.took[event.variant].append(event.seconds)
            self._line(f"{name}: {event.text} in {event.seconds:.1f} s · left about {self.time_left()}")
        elif event.kind == "failed":
            self._line(f"{name}: FAILED: {event.text}")
        else:
            self._line(f"{name}: done by another process")

    def tick(self) -> None:
        """Refreshes the status line; if stderr is not a terminal, at most every QUIET_INTERVAL seconds."""
        if not self.running:
            return
        now = time.monotonic()
        if not self.live and now - self.printed < QUIET_INTERVAL:
            return
        parts = [f"{variant} seed {seed}: {text or 'starting'}" for (variant, seed), text in self.running.items()]
        status = f"({self.ended}/{self.total}) {' | '.join(parts)} · left about {self.time_left()}"
        if self.live:
            print(f"\r\x1b[2K{status[:160]}", end="", file=self.out, flush=True)
        else:
            self._line(status)

    def note(self, text: str) -> None:
        """Prints a line that concerns no single run."""
        self._line(text)

    def stop(self) -> None:
        if self.live:
            print("\r\x1b[2K", end="", file=self.out, flush=True)

    @property
    def ended(self) -> int:
        return len(self.ended_runs)

    def time_left(self) -> str:
        """Estimated time left, from each variant's mean time so far; '?' at the beginning.

        Times differ: a seed's first run trains the base model, and methods differ by a factor of a hundred.
        """
        if not self.took:
            return "?"
        typical = median(mean(seconds) for seconds in self.took.values())
        seconds = sum(runs * mean(self.took.get(variant, [typical])) for variant, runs in self.left.items())
        return readable(seconds / max(1, min(self.workers, self.total - self.ended)))

    def _line(self, text: str) -> None:
        self.printed = time.monotonic()
        print(("\r\x1b[2K" if self.live else "") + text, file=self.out, flush=True)


def readable(seconds: float) -> str:
    """A duration as `42 s`, `7 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
