"""All missing runs, over worker processes. Workers (and other launchers on the same folder) share them by file locks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.sweeping.processes import in_processes
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.worker import NO_PROBES, Probes, Task, is_done, work
from benchmarks.system.settings import Settings
from protocols.schema import Protocol

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: runs done before, done now, failed now."""

    skipped: int
    done: int
    failed: int


def missing_runs(runs: Sequence[Identity], store: Store, images_sha256: str | None, probes: Probes = NO_PROBES) -> list[Identity]:
    """Runs without a record of these images (None, where they are not to be had, asks nothing of them), or without a wanted trace."""
    return [identity for identity in runs if not is_done(store, identity, images_sha256, probes)]


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
