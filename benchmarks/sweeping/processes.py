"""Starts worker processes, receives their reports, and replaces dead workers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.sweeping.progress import Event, Listener
from benchmarks.sweeping.worker import POLL_SECONDS, Task, work
from benchmarks.system.errors import StorageError, storage_error
from benchmarks.system.files import locked
from benchmarks.system.surroundings import settle
from protocols.own_folder import take_own_folder

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


def process_main(task: Task, runs: Sequence[Identity], parent: Connection) -> None:
    """Main function of a worker process. It ignores Ctrl-C, which the launcher handles, and exits if the launcher is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with_launcher, daemon=True).start()
    settle()
    take_own_folder(task.settings.methods_dir)

    def send(event: Event) -> None:
        try:
            parent.send(event)
        except OSError:  # the launcher was killed, so nobody receives the reports
            os._exit(1)

    try:
        work(task, runs, send)
    except Exception as error:
        if (refused := storage_error(error)) is None:
            raise
        send(Event("halt", text=str(refused)))


def leave_with_launcher() -> None:
    """Ends this process once its launcher has ended, however long it has nothing to report."""
    launcher = multiprocessing.parent_process()
    if launcher is not None:
        launcher.join()
        os._exit(1)


@dataclass
class Worker:
    """A process, the pipe for its reports, its current run, and whether it has finished any run.

    Each worker has its own pipe: a shared queue would stay locked forever if a worker is killed while it writes.
    """

    number: int
    process: BaseProcess
    events: Connection
    at: Identity | None = None
    tried: bool = False

    def hear(self) -> Event | None:
        """The next report; None if the process has ended."""
        try:
            event: Event = self.events.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return event


class Crew:
    """The workers of a launcher by number, and the runs that no dead worker has failed, by stem. A dead worker is replaced, and its run is
    marked as failed and not repeated."""

    def __init__(self, task: Task, runs: list[Identity], size: int, progress: Listener) -> None:
        self.task, self.size, self.progress = task, size, progress
        self.context = multiprocessing.get_context("spawn")
        self.left = {str(identity.stem): identity for identity in runs}
        self.workers = {number: self.spawn(number) for number in range(size)}

    def spawn(self, number: int) -> Worker:
        receiver, sender = self.context.Pipe(duplex=False)
        arguments = (self.task, rotated(list(self.left.values()), number, self.size), sender)
        process = self.context.Process(target=process_main, args=arguments, daemon=True)
        process.start()
        sender.close()  # the worker then holds the only copy, so that its end closes the pipe
        return Worker(number, process, receiver)

    def ready(self) -> list[Worker]:
        """Those that have something to report, or have ended; after POLL_SECONDS, nobody."""
        ready = connection.wait([worker.events for worker in self.workers.values()], timeout=POLL_SECONDS)
        return [worker for worker in self.workers.values() if worker.events in ready]

    def hear(self, worker: Worker) -> None:
        """Forwards a worker's next report, or replaces the worker if it has ended. Raises StorageError if it reports a disk error."""
        event = worker.hear()
        if event is None:
            self.replace_dead(worker)
            return
        if event.kind == "halt":
            raise StorageError(event.text)
        if event.kind == "start":
            worker.at = self.left.get(event.key)
        elif event.kind == "later":
            worker.at = None
        elif event.kind in ("done", "failed"):
            worker.at, worker.tried = None, True
        self.progress.event(event)

    def replace_dead(self, worker: Worker) -> None:
        """Marks a dead worker's current run as failed, and starts another worker.

        A worker that dies before its first run is not replaced, since its successor would probably die, too.
        """
        worker.process.join()
        del self.workers[worker.number]
        code = worker.process.exitcode
        if code == 0 and worker.at is None:
            return
        if worker.at is not None:  # a method may end its process with any code, such as 0
            self.mark(worker.at, f"its process died (exit {code}); out of memory?" if code else "it ended its own process (exit 0)")
        elif not worker.tried:
            self.progress.note(f"worker {worker.number} ended (exit {code}) before it began a run")
            return
        self.workers[worker.number] = self.spawn(worker.number)

    def mark(self, run: Identity, text: str) -> None:
        """Marks a run as failed, unless it was stored before its worker died, or another process is now working on it."""
        store = self.task.store
        with locked(store.path(run, ".lock"), wait=False) as free:
            if not free or self.task.ledger.is_done(run):
                return
            store.save_failure(run, Failure(text, ""))
        self.progress.event(Event.of("failed", run, text))
        self.left.pop(str(run.stem), None)


def in_processes(task: Task, runs: list[Identity], workers: int, progress: Listener) -> None:
    """Spawns workers, forwards their reports, and replaces dead workers.

    Raises StorageError if a worker reports a disk error, KeyboardInterrupt if this process is told to stop by Ctrl-C or SIGTERM.
    """
    crew = Crew(task, runs, workers, progress)
    try:
        stop_by_sigterm(interrupted)  # or workers would outlive this process until their next report
        while crew.workers:
            ready = crew.ready()
            progress.tick()
            for worker in ready:
                crew.hear(worker)
        stop_by_sigterm(signal.SIG_DFL)
    finally:
        for worker in crew.workers.values():
            worker.process.kill()


def stop_by_sigterm(how: Handler) -> None:
    """What SIGTERM does from now on, where the main thread asks: another one must not set it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, how)


def interrupted(number: int, frame: FrameType | None) -> None:
    """Handler of SIGTERM (`kill`, a container that stops, a scheduler): as Ctrl-C, once. A scheduler sends it to an element that is being
    told to stop already, and a second one would end it before it says so."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def rotated(runs: list[Identity], number: int, workers: int) -> list[Identity]:
    """The runs in a worker's order. Each worker starts at another seed, so that they train different base models at the same time."""
    seeds = sorted({identity.seed for identity in runs})
    shift = number * len(seeds) // workers
    rank = {seed: (index - shift) % len(seeds) for index, seed in enumerate(seeds)}
    return sorted(runs, key=lambda identity: rank[identity.seed])
