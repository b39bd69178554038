"""Slurm: submitit submits an array of elements; `squeue` says how they stand. There may be no accounting, so `sacct` is not asked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.sweeping.executors.options import MOST_TIMEOUTS, minutes
from benchmarks.sweeping.executors.plans import Plan
from benchmarks.sweeping.executors.scheduler import QUEUED, Element, FullError
from benchmarks.sweeping.executors.supervising import Job
from benchmarks.system.errors import UsageError
from benchmarks.system.files import SUITE_ROOT

PREFIX = "fscil-"
"""Beginning of the name of a job; the rest is that of its plan's folder."""
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
LIMITS = re.compile(
    r"(?i)limit|array|temporarily|unavailable|timed out|try again|slow down|too many|unable to contact|connect failure|inactive or drain"
)
"""Words of sbatch for what may go later, or in smaller parts."""
NEVER = (
    *("PartitionConfig", "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "AccountNotAllowed", "QOSNotAllowed"),
    *("InvalidAccount", "InvalidQOS"),
)
"""Reasons of squeue for which an element waits until somebody changes the cluster or the job."""
ASKING_SECONDS = 60
LONGEST_NOTICE = 90
"""Seconds before its time limit at which an element is told to stop."""


class Slurm:
    """Jobs with these options of sbatch (`--slurm`), of `cpus` cores each."""

    name = "Slurm"

    def __init__(self, options: Mapping[str, str], cpus: int) -> None:
        """Raises UsageError where there is no Slurm or no submitit."""
        for program in ("sbatch", "squeue", "srun"):
            if shutil.which(program) is None:
                raise UsageError(f"--executor slurm: {program} is not found here; start the command where jobs are submitted")
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UsageError("--executor slurm needs submitit: pip install 'submitit>=1.5,<2'") from None
        self.options, self.cpus = dict(options), cpus
        self.minutes = minutes(self.options.pop("time"))
        self.known: dict[Element, str] = {}
        self.last: dict[Element, str] = {}
        self.most = most_of_an_array()
        if self._ask() is None:
            raise UsageError("--executor slurm: squeue does not answer; see to the cluster")

    def alive(self) -> Mapping[Element, str]:
        if (rows := self._ask()) is None:
            return self.known
        found = {}
        for name, index, state, where, reason in rows:
            if not name.startswith(PREFIX):
                continue
            element = (name.removeprefix(PREFIX), int(index) if index.isdecimal() else 0)
            if state in WAITING:
                found[element] = f"{QUEUED} ({reason}{': it cannot start as it is asked for' if reason in NEVER else ''})"
            elif state in AT_WORK:
                found[element] = f"on {where}"
            self.last[element] = state
        self.known = found
        return found

    def _ask(self) -> list[list[str]] | None:
        """Name, index in its array, state, nodes and reason of all jobs of this user; None if squeue does not answer."""
        line = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%j|%K|%T|%N|%r"]
        try:
            with without_slurms():
                done = subprocess.run(line, capture_output=True, text=True, timeout=ASKING_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return [parts for row in done.stdout.splitlines() if len(parts := row.split("|")) == 5]

    def submit(self, folder: Path, plan: Plan) -> None:
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.slurm.slurm import SlurmExecutor

        executor = SlurmExecutor(folder / "log", max_num_timeout=MOST_TIMEOUTS)
        path = os.pathsep.join(filter(None, (str(SUITE_ROOT), os.environ.get("PYTHONPATH"))))
        executor.update_parameters(
            job_name=f"{PREFIX}{folder.name}",
            time=self.minutes,
            signal_delay_s=min(LONGEST_NOTICE, 60 * self.minutes // 4),
            setup=[f"export PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(path)}"],
            srun_args=[f"--cpus-per-task={self.cpus}"],  # srun does not take it from sbatch since 22.05
            array_parallelism=len(plan.groups),
            additional_parameters={"cpus-per-task": self.cpus, "requeue": True, **flags(self.options)},
        )
        jobs: list[Any] = []
        try:
            with without_slurms(), executor.batch():
                jobs = [executor.submit(Job(str(folder), number, str(SUITE_ROOT))) for number in range(len(plan.groups))]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            said = said_by_sbatch(str(error))
            if LIMITS.search(said):
                raise FullError(said) from None
            raise UsageError(f"--executor slurm: nothing was submitted: {said}") from None
        self.known = {**self.known, **{(folder.name, number): QUEUED for number in range(len(jobs))}}

    def ended(self, element: Element) -> str:
        return self.last.get(element, "no longer known")

    def how_to_stop(self, elements: Iterable[Element]) -> str:
        names = ",".join(sorted({f"{PREFIX}{name}" for name, _ in elements if (name, _) in self.known}))
        return f"elements go on without this launcher; to end them: scancel --name={names}" if names else "no element is left"

    def close(self) -> None:
        """Elements go on."""


def flags(options: Mapping[str, str]) -> dict[str, str | bool]:
    """The options as submitit takes them: `yes` stands for an option without a value, such as exclusive."""
    return {key: True if value == "yes" else value for key, value in options.items()}


@contextmanager
def without_slurms() -> Iterator[None]:
    """The environment without what another job has left in it, which would change what is submitted. The place of Slurm's configuration
    stays."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SRUN_")) and name != "SLURM_CONF":
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(saved)


def most_of_an_array() -> int:
    """How many elements an array may have on this cluster."""
    try:
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=ASKING_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return 1
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", done.stdout)
    return max(1, int(found[1]) - 1) if found else 1


def said_by_sbatch(text: str) -> str:
    """The lines of sbatch in an error of submitit, as one."""
    lines = [line.partition("error: ")[2].strip() for line in text.splitlines() if line.startswith("sbatch: error:")]
    return "; ".join(lines) or " ".join(text.split())[:300]
