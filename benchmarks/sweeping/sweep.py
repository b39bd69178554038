"""All missing runs, over worker processes. Workers (and other launchers on the same folder) share them by file locks."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from benchmarks.metrics.accuracy import micro
from benchmarks.records.store import Failure, Identity, Store
from benchmarks.records.traces import has_traces
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.system.errors import USER_ERRORS, StorageError, storage_error
from benchmarks.system.files import locked
from benchmarks.system.settings import Settings
from protocols.loading import first_line
from protocols.schema import Protocol

if TYPE_CHECKING:
    from benchmarks.running.runner import Runner

POLL_SECONDS = 0.5

Send = Callable[[Event], None]
Probes = Mapping[str, tuple[str, ...]]
"""What studies look at (benchmarks.running.probes), by variant."""
NO_PROBES: Probes = {}


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: runs done before, done now, failed now."""

    skipped: int
    done: int
    failed: int


def missing_runs(runs: Sequence[Identity], store: Store, images_sha256: str | None, probes: Probes = NO_PROBES) -> list[Identity]:
    """Runs without a record of these images (None, where they are not to be had, asks nothing of them), or without a wanted trace."""
    return [identity for identity in runs if not is_done(store, identity, images_sha256, probes)]


def is_done(store: Store, identity: Identity, images_sha256: str | None, probes: Probes) -> bool:
    return store.is_done(identity, images_sha256) and has_traces(store, identity, probes.get(identity.variant, ()))


def sweep(
    protocol: Protocol,
    runs: Sequence[Identity],
    settings: Settings,
    workers: int,
    images_sha256: str | None,
    progress: Progress,
    probes: Probes = NO_PROBES,
) -> Outcome:
    """Run what is missing, over at most `workers` processes; a run that fails leaves a note and does not stop the others.

    A single run stays in this process; else workers are spawned, each with the same pinned number of threads, so that
    results do not depend on how many there are, and what kills one worker leaves the others. A disk that refuses is no
    run's failure: it stops them all by a StorageError, and what is finished stays.
    """
    store = Store(settings.results)
    missing = missing_runs(runs, store, images_sha256, probes)
    workers = max(1, min(workers, len(missing)))
    progress.start([identity.variant for identity in missing], len(runs) - len(missing), workers)
    task = Task(protocol, settings, images_sha256, time.time(), probes)
    try:
        if len(missing) == 1:
            work(task, missing, progress.event)
        elif missing:
            in_processes(task, missing, workers, progress)
    finally:
        progress.stop()
    failed = len(missing_runs(missing, store, images_sha256, probes))
    return Outcome(len(runs) - len(missing), len(missing) - failed, failed)


@dataclass(frozen=True)
class Task:
    """What all workers of a sweep are told. A run that has failed since `started` is not tried again."""

    protocol: Protocol
    settings: Settings
    images_sha256: str | None
    started: float
    probes: Probes = field(default_factory=dict)

    def is_done(self, store: Store, identity: Identity) -> bool:
        return is_done(store, identity, self.images_sha256, self.probes)


def work(task: Task, runs: Sequence[Identity], send: Send) -> None:
    """Do runs until all are done or failed; leave those that another process is at, and look at them again later."""
    from benchmarks.running.runner import Runner
    from benchmarks.system.device import make_deterministic

    make_deterministic(task.settings.threads)
    store = Store(task.settings.results)
    runner = cache(lambda: Runner(task.protocol, task.settings))
    pending = list(runs)
    while pending:
        left = []
        for identity in pending:
            with locked(store.path(identity, ".lock"), wait=False) as mine:
                if not mine:
                    left.append(identity)
                    continue
                if task.is_done(store, identity):
                    send(Event("elsewhere", identity.variant, identity.seed))
                    continue
                if failed_since(store, identity, task.started):
                    continue
                one_run(runner, store, identity, send, task.probes.get(identity.variant, ()))
        if len(left) == len(pending):
            time.sleep(POLL_SECONDS)
        pending = left


def failed_since(store: Store, identity: Identity, started: float) -> bool:
    """Whether another process has just tried this run in vain: it is not tried twice in one sweep."""
    try:
        return store.path(identity, ".failed.json").stat().st_mtime >= started
    except FileNotFoundError:
        return False


def one_run(runner: Callable[[], Runner], store: Store, identity: Identity, send: Send, probes: Sequence[str] = ()) -> None:
    """Run, store, report. Errors of the run are stored beside where its record would be; the disk's are raised."""
    variant, seed = identity.variant, identity.seed
    send(Event("start", variant, seed, key=str(identity.stem)))
    try:
        record, costs, predictions, traces = runner().watch(identity, probes, lambda text: send(Event("progress", variant, seed, text)))
        store.save(record, costs, predictions, traces)
    except (Exception, SystemExit) as error:  # a method may fail in any way; the sweep goes on
        if (refused := storage_error(error)) is not None:
            raise refused from None
        text = first_line(error) if isinstance(error, USER_ERRORS) else f"{type(error).__name__}: {first_line(error)}"
        store.save_failure(identity, Failure(text, traceback.format_exc()))
        send(Event("failed", variant, seed, text))
        return
    last = record.sessions[-1]
    send(Event("done", variant, seed, f"{micro(last.correct, last.total):.2f} %", costs.base_seconds + costs.sessions_seconds))


def process_main(task: Task, runs: Sequence[Identity], parent: Connection) -> None:
    """A worker process. Ctrl-C is the launcher's business; a launcher that is gone ends the worker."""
    from benchmarks.system.quiet import hush

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush()

    def send(event: Event) -> None:
        try:
            parent.send(event)
        except OSError:  # the launcher was killed: do not go on unseen
            os._exit(1)

    try:
        work(task, runs, send)
    except Exception as error:
        if (refused := storage_error(error)) is None:
            raise
        send(Event("halt", text=str(refused)))


@dataclass
class Worker:
    """A process, the pipe on which it reports, the run it is at, and whether it has brought any to an end.

    Each has a pipe of its own: a queue shared by all would stay locked for ever when one is killed while it writes.
    """

    number: int
    process: BaseProcess
    events: Connection
    at: Identity | None = None
    tried: bool = False

    def hear(self) -> Event | None:
        """The next report; None where the process has ended."""
        try:
            event: Event = self.events.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return event


def in_processes(task: Task, runs: list[Identity], workers: int, progress: Progress) -> None:
    """Spawn workers, pass on what they report, and replace one that dies: its run is marked failed, not tried again."""
    context = multiprocessing.get_context("spawn")
    store = Store(task.settings.results)
    left = {str(identity.stem): identity for identity in runs}

    def spawn(number: int) -> Worker:
        receiver, sender = context.Pipe(duplex=False)
        arguments = (task, rotated(list(left.values()), number, workers), sender)
        process = context.Process(target=process_main, args=arguments, daemon=True)
        process.start()
        sender.close()  # the worker's copy is the only one: when it ends, the pipe does
        return Worker(number, process, receiver)

    def bury(worker: Worker) -> None:
        """Mark the run that a dead worker was at as failed, and put another worker in its place.

        One that dies before its first run gets no successor: what it died of may well kill them all.
        """
        worker.process.join()
        del crew[worker.number]
        code = worker.process.exitcode
        if code == 0:
            return
        if worker.at is not None:
            mark(worker.at, f"its process died (exit {code}); out of memory?")
        elif not worker.tried:
            progress.note(f"worker {worker.number} ended (exit {code}) before it began a run")
            return
        crew[worker.number] = spawn(worker.number)

    def mark(run: Identity, text: str) -> None:
        """As failed; not where the run was stored before the last word came, nor where another process is at it by now."""
        with locked(store.path(run, ".lock"), wait=False) as free:
            if not free or task.is_done(store, run):
                return
            store.save_failure(run, Failure(text, ""))
        progress.event(Event("failed", run.variant, run.seed, text))
        left.pop(str(run.stem), None)

    crew = {number: spawn(number) for number in range(workers)}
    try:
        while crew:
            ready = connection.wait([worker.events for worker in crew.values()], timeout=POLL_SECONDS)
            progress.tick()
            for worker in [worker for worker in crew.values() if worker.events in ready]:
                event = worker.hear()
                if event is None:
                    bury(worker)
                    continue
                if event.kind == "halt":
                    raise StorageError(event.text)
                if event.kind == "start":
                    worker.at = left.get(event.key)
                elif event.kind in ("done", "failed"):
                    worker.at, worker.tried = None, True
                progress.event(event)
    finally:
        for worker in crew.values():
            worker.process.kill()


def rotated(runs: list[Identity], number: int, workers: int) -> list[Identity]:
    """Each worker starts at another seed, so that they train different base sessions at the same time."""
    seeds = sorted({identity.seed for identity in runs})
    shift = number * len(seeds) // workers
    rank = {seed: (index - shift) % len(seeds) for index, seed in enumerate(seeds)}
    return sorted(runs, key=lambda identity: rank[identity.seed])
