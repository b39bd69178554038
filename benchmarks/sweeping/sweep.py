"""Does all missing runs in worker processes. Workers (and other launchers on the same folder) share the runs by file locks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.planning.costs import seconds_before
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.preflight import with_precision
from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.sweeping.processes import in_processes
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.worker import Task, work
from benchmarks.system.files import has_locks, time_of
from benchmarks.system.settings import Settings
from protocols.schema import Protocol

IN_THIS_PROCESS = 0
"""Number of workers that stands for none: all runs are done in this process, one after another."""
RunElsewhere = Callable[[Task, Sequence[Identity], Progress], None]
"""Does missing runs elsewhere (benchmarks/sweeping/executors), and returns when each is done or has failed."""


@dataclass(frozen=True)
class Outcome:
    """Numbers of runs that were done before the sweep (`skipped`), done by it, failed, and done by another process meanwhile."""

    skipped: int
    done: int
    failed: int
    elsewhere: int = 0

    def __str__(self) -> str:
        beside = f", {self.elsewhere} by another process" if self.elsewhere else ""
        return f"{self.done} runs done{beside}, {self.skipped} were there already, {self.failed} failed"


def sweep(
    protocol: Protocol,
    runs: Sequence[Identity],
    settings: Settings,
    workers: int,
    progress: Progress,
    ledger: Ledger,
    executor: RunElsewhere | None = None,
) -> Outcome:
    """Does the missing runs in at most `workers` processes. A run that fails leaves a note and does not stop the others.

    If runs are missing, all `runs` must name their images. A single missing run is done in this process. Otherwise workers are
    spawned (unless `workers` is IN_THIS_PROCESS), so that a crash ends only one of them. Each has the same fixed number of threads, so
    that results do not depend on the number of workers. A disk error is not a run's failure: it stops the sweep with a StorageError, and
    finished runs are kept. An `executor` does them elsewhere.
    """
    missing = ledger.missing(runs)
    if missing:
        settings.results.mkdir(parents=True, exist_ok=True)
        missing = with_precision(missing, settings)
    here = workers == IN_THIS_PROCESS or len(missing) == 1
    workers = max(1, min(workers, len(missing)))
    if missing and not has_locks(settings.results):
        progress.note(f"{settings.results}: its file system has no locks; start one command at a time on it")
        workers = 1
    before = seconds_before(runs, ledger).of_variants
    several = len({run.recipe for run in runs}) > 1
    progress.start([run.variant for run in missing], len(runs) - len(missing), 0 if executor else workers, before, several)
    started = time_of(settings.results) if missing else 0.0
    task = Task(protocol, settings, ledger, started, ledger.anew or uuid.uuid4().hex)
    try:
        if executor is not None and missing:
            executor(task, missing, progress)
        elif here and missing:
            work(task, missing, progress.event)
        elif missing:
            in_processes(task, missing, workers, progress)
    finally:
        progress.stop()
    failed = ledger.missing(missing)
    for run in failed:
        if str(run.stem) in progress.ended_runs and not task.store.path(run, ".failed.json").exists():
            progress.note(f"{run.name(several)}: another process has replaced or removed its record; run the same command again")
    done = map(costs_of, ledger.records(missing))
    elsewhere = sum(costs is not None and costs.sweep not in (None, task.sweep) for costs in done)
    return Outcome(len(runs) - len(missing), len(missing) - len(failed) - elsewhere, len(failed), elsewhere)
