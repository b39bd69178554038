"""What an element does on its node: its runs, in worker processes as in a local sweep. Run as `python -m ... PLAN_FOLDER NUMBER`."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from pathlib import Path

from benchmarks.sweeping.executors.plans import read_plan, sources_now
from benchmarks.sweeping.executors.telling import CHANGED, Teller, events_path
from benchmarks.sweeping.processes import in_processes, interrupted
from benchmarks.system.errors import StorageError
from benchmarks.system.files import has_locks
from benchmarks.system.surroundings import cores, settle
from protocols.own_folder import take_own_folder

DONE, REFUSED, INTERRUPTED = 0, 2, 3
RECORDED = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that say what the scheduler gave the element."""


def main(folder: Path, number: int) -> int:
    """Does the runs of one element that are missing. Returns 0 if all of them are done or failed, 2 if it must not or cannot run, 3 if it
    was told to stop."""
    signal.signal(signal.SIGTERM, interrupted)
    threading.Thread(target=stop_without_supervisor, daemon=True).start()
    settle()
    plan = read_plan(folder)
    task, settings = plan.task, plan.task.settings
    teller = Teller(events_path(folder, number))
    teller.began(surroundings())
    if sources_now(settings.methods_dir) != plan.sources:
        teller.note(CHANGED)
        return REFUSED
    take_own_folder(settings.methods_dir)
    workers = plan.workers if has_locks(settings.results) else 1
    try:
        if missing := task.ledger.missing(plan.groups[number]):
            in_processes(task, missing, min(workers, len(missing)), teller)
    except StorageError as error:
        teller.note(str(error))
        return REFUSED
    except KeyboardInterrupt:
        teller.note("interrupted; what it was doing is done again")
        return INTERRUPTED
    return DONE


def stop_without_supervisor() -> None:
    """Waits for the end of standard input, which the supervisor holds open as long as it lives, and stops this process then."""
    while os.read(0, 1):  # sys.stdin would be locked when the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def surroundings() -> str:
    """Where the element runs, and on how much of it."""
    said = [f"{name}={os.environ[name]}" for name in RECORDED if name in os.environ]
    return ", ".join([f"on {platform.node()}", f"{cores()} cores", *said])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
