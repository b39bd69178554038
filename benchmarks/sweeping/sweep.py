"""All missing runs, over worker processes. Workers (and other launchers on the same folder) share them by file locks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.planning.ledger import Ledger
from benchmarks.planning.preflight import precision_of
from benchmarks.records.identity import Identity
from benchmarks.sweeping.processes import in_processes
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.worker import Task, work
from benchmarks.system.settings import Settings
from protocols.schema import Protocol


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: runs done before, done now, failed now."""

    skipped: int
    done: int
    failed: int


def sweep(protocol: Protocol, runs: Sequence[Identity], settings: Settings, workers: int, progress: Progress, ledger: Ledger) -> Outcome:
    """Run what is missing, over at most `workers` processes; a run that fails leaves a note and does not stop the others.

    Where something is missing, all runs name the images that they are to be run on. A single run stays in this process; else
    workers are spawned, each with the same pinned number of threads, so that results do not depend on how many there are, and what
    kills one worker leaves the others. A disk that refuses is no run's failure: it stops them all by a StorageError, and what is
    finished stays.
    """
    missing = ledger.missing(runs)
    if missing:
        precision = precision_of(missing, settings)
        missing = [run.model_copy(update={"precision": precision}) for run in missing]
    workers = max(1, min(workers, len(missing)))
    progress.start([run.variant for run in missing], len(runs) - len(missing), workers)
    task = Task(protocol, settings, ledger, time.time(), ledger.anew or uuid.uuid4().hex)
    try:
        if len(missing) == 1:
            work(task, missing, progress.event)
        elif missing:
            in_processes(task, missing, workers, progress)
    finally:
        progress.stop()
    failed = len(ledger.missing(missing))
    return Outcome(len(runs) - len(missing), len(missing) - failed, failed)
