"""All missing runs, over worker processes. Workers (and other launchers on the same folder) share them by file locks."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from benchmarks.errors import USER_ERRORS
from benchmarks.files import locked
from benchmarks.progress import Event, Progress
from benchmarks.records import Failure, Identity, Store
from benchmarks.settings import Settings
from protocols.schema import Protocol

if TYPE_CHECKING:
    from benchmarks.run import Runner

POLL_SECONDS = 0.5

Send = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: runs done before, done now, failed now."""

    skipped: int
    done: int
    failed: int


def missing_runs(runs: Sequence[Identity], store: Store) -> list[Identity]:
    return [identity for identity in runs if not store.is_done(identity)]


def sweep(protocol: Protocol, runs: Sequence[Identity], settings: Settings, workers: int, progress: Progress) -> Outcome:
    """Run what is missing; a run that fails leaves a note and does not stop the others.

    One worker runs in this process; more are spawned, each with the same pinned number of threads, so that results do
    not depend on how many there are.
    """
    store = Store(settings.results)
    missing = missing_runs(runs, store)
    progress.start(len(missing), len(runs) - len(missing), workers)
    if missing and workers == 1:
        work(protocol, missing, settings, progress.event, time.time())
    elif missing:
        in_processes(protocol, missing, settings, workers, progress)
    progress.stop()
    failed = len(missing_runs(missing, store))
    return Outcome(len(runs) - len(missing), len(missing) - failed, failed)


def work(protocol: Protocol, runs: Sequence[Identity], settings: Settings, send: Send, started: float) -> None:
    """Do runs until all are done or failed; leave those that another process is at, and look at them again later.

    `started` is when the sweep began: a run that has failed since is not tried again in it.
    """
    from benchmarks.precision import make_deterministic
    from benchmarks.run import Runner

    make_deterministic(settings.threads)
    store = Store(settings.results)
    runner = cache(lambda: Runner(protocol, settings))
    pending = list(runs)
    while pending:
        left = []
        for identity in pending:
            with locked(store.path(identity, ".lock"), wait=False) as mine:
                if not mine:
                    left.append(identity)
                    continue
                if store.is_done(identity):
                    send(Event("elsewhere", identity.variant, identity.seed))
                    continue
                if failed_since(store, identity, started):
                    continue
                one_run(runner, store, identity, send)
        if len(left) == len(pending):
            time.sleep(POLL_SECONDS)
        pending = left


def failed_since(store: Store, identity: Identity, started: float) -> bool:
    """Whether another process has just tried this run in vain: it is not tried twice in one sweep."""
    try:
        return store.path(identity, ".failed.json").stat().st_mtime >= started
    except FileNotFoundError:
        return False


def one_run(runner: Callable[[], Runner], store: Store, identity: Identity, send: Send) -> None:
    """Run, store, report. Errors of the run are stored beside where its record would be."""
    variant, seed = identity.variant, identity.seed
    send(Event("start", variant, seed, key=str(identity.stem)))
    try:
        record, costs, predictions = runner().run(identity, lambda text: send(Event("progress", variant, seed, text)))
        store.save(record, costs, predictions)
    except Exception as error:  # a method may fail in any way; the sweep goes on
        line = (str(error).splitlines() or [""])[0]
        text = line if isinstance(error, USER_ERRORS) else f"{type(error).__name__}: {line}"
        store.save_failure(identity, Failure(text, traceback.format_exc()))
        send(Event("failed", variant, seed, text))
        return
    seconds = costs.base_seconds + sum(costs.session_seconds) + sum(costs.evaluation_seconds)
    last = record.sessions[-1]
    send(Event("done", variant, seed, f"{100 * sum(last.correct) / sum(last.total):.2f} %", seconds))


def process_main(protocol: Protocol, runs: Sequence[Identity], settings: Settings, events: Any, started: float) -> None:
    """A worker process. Ctrl-C is the parent's business."""
    from benchmarks.quiet import hush

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush()
    parent = os.getppid()

    def send(event: Event) -> None:
        if os.getppid() != parent:  # the launcher was killed: do not go on unseen
            os._exit(1)
        events.put((os.getpid(), event))

    work(protocol, runs, settings, send, started)


def in_processes(protocol: Protocol, runs: list[Identity], settings: Settings, workers: int, progress: Progress) -> None:
    """Spawn workers, pass on what they report, and replace one that dies: its run is marked failed, not tried again."""
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    store = Store(settings.results)
    started = time.time()
    at: dict[int, Identity] = {}  # worker -> the run it is at
    left = {str(identity.stem): identity for identity in runs}

    def spawn(number: int) -> BaseProcess:
        arguments = (protocol, rotated(list(left.values()), number, workers), settings, events, started)
        process = context.Process(target=process_main, args=arguments, daemon=True)
        process.start()
        return process

    def drain(timeout: float) -> None:
        """Pass on what has been reported, waiting at most `timeout` for the first word."""
        with contextlib.suppress(queue.Empty):
            while True:
                pid, event = events.get(timeout=timeout)
                timeout = 0.0
                if event.kind == "start":
                    at[pid] = left[event.key]
                elif event.kind in ("done", "failed"):
                    at.pop(pid, None)
                progress.event(event)

    processes = {number: spawn(number) for number in range(workers)}
    try:
        while processes:
            drain(POLL_SECONDS)
            progress.tick()
            for number, process in list(processes.items()):
                if process.exitcode is None:
                    continue
                drain(0.0)  # its last words
                del processes[number]
                identity = at.pop(process.pid or 0, None)
                if process.exitcode != 0 and identity is not None:
                    text = f"its process died (exit {process.exitcode}); out of memory?"
                    store.save_failure(identity, Failure(text, ""))
                    progress.event(Event("failed", identity.variant, identity.seed, text))
                    del left[str(identity.stem)]
                    processes[number] = spawn(number)
    finally:
        for process in processes.values():
            process.kill()


def rotated(runs: list[Identity], number: int, workers: int) -> list[Identity]:
    """Each worker starts at another seed, so that they train different base sessions at the same time."""
    seeds = sorted({identity.seed for identity in runs})
    shift = number * len(seeds) // workers
    rank = {seed: (index - shift) % len(seeds) for index, seed in enumerate(seeds)}
    return sorted(runs, key=lambda identity: rank[identity.seed])
