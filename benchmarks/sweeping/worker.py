"""The loop of one worker: it does the runs that no other process has done or is doing."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.metrics.accuracy import micro
from benchmarks.planning.ledger import Ledger
from benchmarks.records.failures import Failure, read_failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import refuse_later
from benchmarks.records.store import Store
from benchmarks.sweeping.explaining import explained, place_of, shown
from benchmarks.sweeping.progress import Event
from benchmarks.system.errors import USER_ERRORS, BusyError, storage_error
from benchmarks.system.files import locked
from benchmarks.system.settings import Settings
from protocols.schema import Protocol

if TYPE_CHECKING:
    from benchmarks.running.runner import Runner


POLL_SECONDS = 0.5
BUSY = "waits for another process that trains this base"
Send = Callable[[Event], None]


@dataclass(frozen=True)
class Task:
    """Data that all workers of a sweep share. A run that has failed since `started` (Unix time) is not repeated.

    `sweep` identifies the sweep.
    """

    protocol: Protocol
    settings: Settings
    ledger: Ledger
    started: float
    sweep: str

    @property
    def store(self) -> Store:
        return self.ledger.store


def work(task: Task, runs: Sequence[Identity], send: Send) -> None:
    """Does runs until all are done or failed. Skips those that another process is doing or whose base model another process trains, and
    checks them again later. Reports why it waits when nothing else is left."""
    from benchmarks.base.sources import note_sources
    from benchmarks.running.runner import Runner
    from benchmarks.system.device import make_deterministic

    make_deterministic(task.settings.threads)
    note_sources(runs)
    store = task.store
    runner = cache(lambda: Runner(task.protocol, task.settings, verified=runs[0].images, wait=False))
    pending = list(runs)
    busy: dict[tuple[str, int], BusyError] = {}  # base sessions and seed -> what another process does for them
    while pending:
        left: list[tuple[Identity, str]] = []
        done_beside: set[Path] = set()
        for identity in pending:
            if identity.stem in done_beside:
                continue
            with ExitStack() as locks:
                if not locks.enter_context(locked(store.path(identity, ".lock"), wait=False)):
                    left.append((identity, "waits for another process that does this run"))
                elif task.ledger.is_done(identity):
                    send(Event.of("elsewhere", identity))
                elif (failure := failed_since(store, identity, task.started)) is not None:
                    send(Event.of("failed", identity, f"in another process: {failure}"))
                elif (held := busy.get((identity.base_session, identity.seed))) is not None and still_busy(held):
                    left.append((identity, BUSY))
                else:
                    several = [identity, *peers_of(runner, task, identity, pending, locks)]
                    done_beside.update(run.stem for run in several)
                    held_back = several_runs(runner, task, several, pending, send)
                    busy.update({(run.base_session, run.seed): error for run, error in held_back})
                    left += [(run, BUSY) for run, _ in held_back]
        if len(left) == len(pending):
            first, why = left[0]
            send(Event.of("waits", first, why))
            time.sleep(POLL_SECONDS)
        pending = [identity for identity, _ in left]


def peers_of(runner: Callable[[], Runner], task: Task, identity: Identity, pending: Sequence[Identity], locks: ExitStack) -> list[Identity]:
    """Runs of other seeds that this worker does side by side with this one, on a GPU. Their locks are held by `locks`."""
    try:
        peers = runner().peers(identity, pending)
    except (*USER_ERRORS, RuntimeError):  # the run itself says what is wrong
        return []
    free = [run for run in peers if locks.enter_context(locked(task.store.path(run, ".lock"), wait=False))]
    return [run for run in free if not task.ledger.is_done(run) and failed_since(task.store, run, task.started) is None]


def several_runs(
    runner: Callable[[], Runner], task: Task, runs: Sequence[Identity], group: Sequence[Identity], send: Send
) -> list[tuple[Identity, BusyError]]:
    """Does the runs, side by side if there are several. Returns those that are to be done later, each with what `one_run` returns."""
    works = [partial(one_run, runner, task, run, send, group) for run in runs]
    errors = [works[0]()] if len(works) == 1 else runner().side_by_side(works)
    return [(run, error) for run, error in zip(runs, errors, strict=True) if error is not None]


def still_busy(error: BusyError) -> bool:
    """Whether the other process holds its lock, and what was waited for is not there yet."""
    if error.awaited is not None and error.awaited.exists():
        return False
    with locked(error.lock, wait=False) as mine:
        return not mine


def failed_since(store: Store, identity: Identity, started: float) -> str | None:
    """Why this run has failed since `started` in another process; None if it has not. It is not tried twice in one sweep."""
    path = store.path(identity, ".failed.json")
    try:
        return read_failure(path).error if path.stat().st_mtime >= started else None
    except FileNotFoundError:
        return None


def one_run(runner: Callable[[], Runner], task: Task, identity: Identity, send: Send, group: Sequence[Identity] = ()) -> BusyError | None:
    """Does one run, stores it and reports. An error of the run is stored as a note beside the record's path; a disk error is raised.

    The base sessions of runs in `group` may be trained with this one's, on a GPU.
    If another process is training the run's base model, returns the error that says so; the run is to be done later.
    """
    store, event = task.store, Event.of("start", identity)
    send(event)
    try:
        refuse_later(store.path(identity, ".json"))
        record, costs, predictions, traces = runner().watch(
            identity, task.ledger.probes_of(identity), lambda text: send(replace(event, kind="progress", text=text)), group
        )
        store.save(record, costs.model_copy(update={"sweep": task.sweep}), predictions, traces)
    except BusyError as error:
        send(replace(event, kind="later"))
        return error
    except (Exception, SystemExit) as error:  # a method may fail in any way; the sweep goes on
        if (refused := storage_error(error)) is not None:
            raise refused from None
        text, place = explained(error), place_of(error)
        trace = store.save_failure(identity, Failure(text, traceback.format_exc(), place))
        more = ((place,) if place else ()) + ((f"traceback: {shown(trace)}",) if trace else ())
        send(replace(event, kind="failed", text=text, more=more))
        return None
    last = record.sessions[-1]
    seconds = costs.base_seconds + costs.sessions_seconds
    send(replace(event, kind="done", text=f"{micro(last.correct, last.total):.2f} %", seconds=seconds))
    return None
