"""`--executor`: which scheduler, how many seeds an element holds, and what can be said before anything is submitted."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.planning.costs import longest_before, seconds_before
from benchmarks.planning.ledger import Ledger
from benchmarks.records.identity import Identity
from benchmarks.sweeping.estimate import readable
from benchmarks.sweeping.executors.options import LIMITED, MOST_TIMEOUTS, OWN, minutes, number, parsed
from benchmarks.sweeping.executors.plans import groups_of, named
from benchmarks.sweeping.executors.scheduler import Scheduler
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import UsageError
from protocols.reading import short
from protocols.seeds import MOST_SEEDS

EXECUTORS = ("local", "slurm", "ray")
PATIENCE = 30.0
"""Seconds after which what another node has written must be seen here; NFS shows new files late."""


@dataclass(frozen=True)
class Executor:
    """`seeds` are those of an element, `workers` the runs that it does at a time on `cpus` cores, `limit` its time in minutes, None if it
    has none. `connect` gives the scheduler."""

    name: str
    seeds: int
    workers: int
    cpus: int
    gpus: bool
    patience: float
    limit: int | None
    connect: Callable[[], Scheduler]

    def __call__(self, task: Task, missing: Sequence[Identity], progress: Progress) -> None:
        """Does the missing runs. Raises UsageError if nothing can be submitted."""
        from benchmarks.sweeping.executors.launching import Launcher

        groups = groups_of(missing, self.seeds)
        self.check_limit(missing, task.ledger, progress)
        each = f"of {count(self.seeds, 'seed')}, {count(self.workers, 'run')} at a time"
        progress.note(f"{self.name}: {count(len(groups), 'element')} {each}")
        if self.gpus:
            task = replace(task, settings=replace(task.settings, device="cuda"))
        Launcher(self.connect(), task, groups, self.workers, progress, self.patience).launch()

    def check_limit(self, runs: Sequence[Identity], ledger: Ledger, progress: Progress) -> None:
        """Raises UsageError if what cannot be interrupted has taken longer here before than an element has."""
        if self.limit is None:
            return
        if self.limit < LIMITED:
            progress.note(
                f"--slurm time: with less than {LIMITED} minutes an element "
                f"that is interrupted {MOST_TIMEOUTS + 1} times is not queued again"
            )
        variant, seconds = longest_before(runs, ledger, self.gpus)
        if seconds > 60 * self.limit:
            raise UsageError(
                f"--slurm: time={self.limit} minutes is shorter than a run of {variant}, which took {readable(seconds)} on "
                f"{'a GPU' if self.gpus else 'a CPU'}; nothing was submitted"
            )

    def plan_text(self, runs: Sequence[Identity], ledger: Ledger) -> str:
        """Lines on the elements of the runs that are missing: what each holds, and about how long it takes."""
        missing, before = ledger.missing(runs), seconds_before(runs, ledger)
        groups, lines, known = groups_of(missing, self.seeds), [], []
        for index, group in enumerate(groups):
            counted = Counter(run.variant for run in group)
            unknown = counted.keys() - before.of_variants.keys()
            seconds = before.of(group) / min(self.workers, len(group))
            took = "no estimate" if len(unknown) == len(counted) else f"about {readable(seconds)}"
            known += [] if took == "no estimate" else [seconds]
            rest = f", without {', '.join(sorted(unknown))}" if unknown and took != "no estimate" else ""
            lines.append(f"  element {index}: {named(group)}, {count(len(group), 'run')} of {count(len(counted), 'variant')}: {took}{rest}")
        if known:
            lines.append(f"  together {readable(sum(known))}; the longest {readable(max(known))}, if no base session is cached")
        each = f"{count(self.cpus, 'core')}{' and a GPU' if self.gpus else ''}"
        return "\n".join([f"{self.name}: {count(len(groups), 'element')}, {each} each", *lines])


def count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def executor_of(options: argparse.Namespace) -> Executor | None:
    """The executor that a command line asks for; None for `local`. Raises UsageError."""
    if options.executor not in EXECUTORS:
        raise UsageError(f"--executor {short(options.executor)}: write {', '.join(EXECUTORS[:-1])} or {EXECUTORS[-1]}")
    for name in EXECUTORS[1:]:
        if getattr(options, name) and options.executor != name:
            raise UsageError(f"--{name} has no effect with --executor {options.executor}; write --executor {name}")
    if options.executor == "local":
        return None
    if options.reproduce is not None:
        raise UsageError("--reproduce runs on this machine; leave --executor out")
    values = parsed(f"--{options.executor}", getattr(options, options.executor))
    executor = (slurm if options.executor == "slurm" else ray)(values, options.workers, options.threads)
    if executor.gpus and options.device not in ("auto", "cuda"):
        raise UsageError(f"--executor {options.executor} with gpus computes on them; leave --device {short(options.device)} out")
    if executor.gpus and options.precision == "auto":
        raise UsageError(
            f"--executor {options.executor} with gpus: say --precision fp32 or bf16; it is part of a run, and the nodes' cards decide"
        )
    return executor


def shape(option: str, values: dict[str, str], key: str, workers: int | None, threads: int) -> tuple[int, int]:
    """Cores of an element, and runs at a time: as many as there are cores for, unless one of the two is said."""
    cpus = int(number(option, values, key, (workers or 1) * threads, 1, 1024))
    return cpus, workers or max(1, cpus // threads)


def slurm(values: dict[str, str], workers: int | None, threads: int) -> Executor:
    if own := [key for key in values if key in OWN]:
        raise UsageError(f"--slurm: {own[0]} is set by the launcher; leave it out")
    if "time" not in values:
        raise UsageError("--executor slurm needs a time limit: --slurm time=120 (minutes), or HH:MM:SS")
    limit, gpus = minutes(values["time"]), any(asks_for_gpus(key, value) for key, value in values.items())
    seeds = int(number("--slurm", values, "seeds", 1, 1, MOST_SEEDS))
    patience = number("--slurm", values, "patience", PATIENCE, 0, 3600, whole=False)
    cpus, workers = shape("--slurm", values, "cpus-per-task", workers, threads)

    def connect() -> Scheduler:
        from benchmarks.sweeping.executors.slurm import Slurm

        return Slurm(values, cpus)

    return Executor("Slurm", seeds, workers, cpus, gpus, patience, limit, connect)


def asks_for_gpus(key: str, value: str) -> bool:
    """Whether this option of sbatch asks for GPUs, such as gpus=1 or gres=gpu:a100:2; gpus=0 does not."""
    asks = key == "gpus" or key.startswith("gpus-per-") or (key == "gres" and "gpu" in value)
    return asks and not re.search(r"(^|:)0+$", value)


def ray(values: dict[str, str], workers: int | None, threads: int) -> Executor:
    if strange := sorted(values.keys() - {"address", "seeds", "patience", "cpus", "gpus"}):
        raise UsageError(f"--ray: there is no {short(strange[0])}; write address, cpus, gpus, seeds or patience")
    seeds = int(number("--ray", values, "seeds", 1, 1, MOST_SEEDS))
    patience = number("--ray", values, "patience", PATIENCE, 0, 3600, whole=False)
    share = number("--ray", values, "gpus", 0.0, 0, 64, whole=False)
    cpus, workers = shape("--ray", values, "cpus", workers, threads)
    address = values.get("address") or os.environ.get("RAY_ADDRESS")

    def connect() -> Scheduler:
        from benchmarks.sweeping.executors.ray import Ray

        return Ray(address, cpus, share)

    return Executor("Ray", seeds, workers, cpus, share > 0, patience, None, connect)
