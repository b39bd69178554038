"""Live progress on stderr: which run, which session and epoch, accuracy so far, estimated time left."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from benchmarks.records.identity import run_name
from benchmarks.sweeping.estimate import AtWork, Estimate, readable

if TYPE_CHECKING:
    from benchmarks.records.identity import Identity
    from benchmarks.sweeping.screen import Screen

QUIET_INTERVAL = 15.0  # seconds between status lines if stderr is not a terminal
Kind = Literal["start", "progress", "done", "failed", "elsewhere", "later", "waits", "halt"]


@dataclass(frozen=True)
class Event:
    """A worker's report about a run. `key` is the run's stem: two recipes may have one variant and seed. `seconds` is set for `done`;
    `elsewhere` means that another process did the run; `more` holds further lines about a failure.

    `later`: the worker has put the run off, since another process trains its base. `waits`: a worker has nothing to do but to wait for
    this run, for the reason in `text`.

    A `halt` concerns no single run: the sweep must stop, for the reason in `text`.
    """

    kind: Kind
    variant: str = ""
    seed: int = 0
    text: str = ""
    seconds: float = 0.0
    key: str = ""
    recipe: str = ""
    more: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: Kind, run: Identity, text: str = "") -> Event:
        return cls(kind, run.variant, run.seed, text, key=str(run.stem), recipe=run.recipe)

    def name(self, with_recipe: bool = False) -> str:
        return run_name(self.variant, self.seed, self.recipe if with_recipe else "")


class Listener(Protocol):
    """Who is told how the runs of a sweep go: the terminal (Progress), or the launcher on another machine."""

    def event(self, event: Event) -> None: ...

    def tick(self) -> None:
        """Called now and then while nothing happens."""

    def note(self, text: str) -> None:
        """Told a line that concerns no single run."""


class Progress:
    """Prints a line for each finished run. Between them, a terminal shows a bar and a line for each run at work; elsewhere a line comes now
    and then."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.screen = make_screen(self.out)
        self.running: dict[str, Event] = {}  # the last of each run at work, by the run's key
        self.at_work: dict[str, AtWork] = {}
        self.ended_runs: set[str] = set()
        self.left: Counter[str] = Counter()
        self.estimate = Estimate()
        self.total = 0
        self.workers = 1
        self.several_recipes = False
        self.printed = time.monotonic()

    def start(
        self,
        variants: Sequence[str],
        skipped: int,
        workers: int,
        before: Mapping[str, float] | None = None,
        several_recipes: bool = False,
    ) -> None:
        """Prints the totals. `variants` holds the variant of each run to do, `before` seconds that variants took in earlier sweeps.

        `workers` is 0 where others decide how many there are. With `several_recipes` each line names the recipe.
        """
        self.left, self.total, self.workers = Counter(variants), len(variants), max(1, workers)
        self.estimate, self.several_recipes = Estimate(before or {}), several_recipes
        crew = f", {workers} worker{'s' if workers > 1 else ''}" if workers else ""
        self._line(f"{self.total} runs to do, {skipped} already done{crew}")

    def event(self, event: Event) -> None:
        run = event.key
        if run in self.ended_runs:  # every worker reports a run that is done already, and some reports are late
            return
        if event.kind in ("start", "progress"):
            self.running[run] = event
            now = time.monotonic()
            self.at_work.setdefault(run, AtWork(event.variant, now)).told(event.text, now)
            self.tick()
            return
        if event.kind == "later":
            self.running.pop(run, None)
            self.at_work.pop(run, None)
            return
        if event.kind == "waits":
            self.running.setdefault(run, event)  # another worker of this sweep may be doing it, and says more
            self.tick()
            return
        self.ended_runs.add(run)
        self.running.pop(run, None)
        self.at_work.pop(run, None)
        self.left[event.variant] -= 1
        name = f"[{self.ended}/{self.total}] {event.name(self.several_recipes)}"
        if event.kind == "done":
            self.estimate.took[event.variant].append(event.seconds)
            left = f" · {self.left_said()}" if self.ended < self.total else ""
            self._line(f"{name}: {event.text} in {event.seconds:.1f} s{left}")
        elif event.kind == "failed":
            self._line(f"{name}: FAILED: {event.text}")
            for line in event.more:
                self._line(f"    {line}")
        else:
            self._line(f"{name}: done by another process")
        if self.screen is not None:
            self._draw(self.screen)

    def tick(self) -> None:
        """Refreshes what is shown of the runs at work; if stderr is not a terminal, at most every QUIET_INTERVAL seconds."""
        if not self.running:
            return
        if self.screen is not None:
            self._draw(self.screen)
        elif time.monotonic() - self.printed >= QUIET_INTERVAL:
            parts = [f"{last.name(self.several_recipes)}: {last.text or 'starting'}" for last in self.running.values()]
            self._line(f"({self.ended}/{self.total}) {' | '.join(parts)} · {self.left_said()}")

    def _draw(self, screen: Screen) -> None:
        """A line a run: name, how far it is, its own time left."""
        now, rows = time.monotonic(), []
        for run, last in self.running.items():
            at_work = self.at_work.get(run)
            left = None if at_work is None else at_work.left(now, self.estimate.expected(last.variant))
            rows.append((last.name(self.several_recipes), last.text or "starting", "" if left is None else readable(left)))
        screen.draw(self.ended, self.total, self.left_said(), rows)

    def note(self, text: str) -> None:
        """Prints a line that concerns no single run."""
        self._line(text)

    def stop(self) -> None:
        if self.screen is not None:
            self.screen.close()

    @property
    def ended(self) -> int:
        return len(self.ended_runs)

    def time_left(self) -> str:
        """Estimated time left; '?' as long as nothing is known.

        Times differ: a seed's first run trains the base model, and methods differ by a factor of a hundred.
        """
        waiting = self.left - Counter(one.variant for one in self.at_work.values())
        seconds = self.estimate.left(list(self.at_work.values()), list(waiting.elements()), self.workers, time.monotonic())
        return "?" if seconds is None else readable(seconds)

    def left_said(self) -> str:
        """`left about 7 min`; where nothing is known but how long base sessions at work still take, `left more than 7 min`."""
        left, now = self.time_left(), time.monotonic()
        bases = [seconds for one in self.at_work.values() if (seconds := one.base_left(now)) is not None]
        return f"left more than {readable(max(bases))}" if left == "?" and bases else f"left about {left}"

    def _line(self, text: str) -> None:
        self.printed = time.monotonic()
        if self.screen is not None:
            self.screen.print(text)
        else:
            print(text, file=self.out, flush=True)


def make_screen(out: TextIO) -> Screen | None:
    """The live part of a terminal; None if `out` is none, or one that cannot move its cursor."""
    if not out.isatty():
        return None
    from benchmarks.sweeping.screen import Screen

    screen = Screen(out)
    return screen if screen.moves else None
