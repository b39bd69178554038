"""What an element does on its node: its runs, in worker processes as in a local sweep. Run as `python -m ... PLAN_FOLDER NUMBER`."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from benchmarks.sweeping.executors.plans import read_plan, sources_now
from benchmarks.sweeping.executors.telling import CHANGED, Teller, events_path
from benchmarks.sweeping.processes import in_processes, interrupted
from benchmarks.system.errors import USER_ERRORS, StorageError
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
    events = events_path(folder, number)
    try:
        teller = Teller(events)
        teller.began(surroundings())
        plan = read_plan(folder)
        task, settings = plan.task, plan.task.settings
        if sources_now(settings.methods_dir) != plan.sources:
            return ended(events, CHANGED, REFUSED)
        take_own_folder(settings.methods_dir)
        workers = plan.workers if has_locks(settings.results) else 1
        if missing := task.ledger.missing(plan.groups[number]):
            in_processes(task, missing, min(workers, len(missing)), teller)
    except OSError as error:
        return ended(events, str(StorageError.of(Path(error.filename), error, "used") if error.filename else error), REFUSED)
    except USER_ERRORS as error:
        return ended(events, str(error), REFUSED)
    except KeyboardInterrupt:
        return ended(events, "interrupted; what it was doing is done again", INTERRUPTED)
    return DONE


def ended(events: Path, why: str, status: int) -> int:
    """Tells the launcher why the element ends now, and the scheduler's log, as the disk may be what refuses. Returns the status."""
    print(why, file=sys.stderr)
    with suppress(StorageError):
        Teller(events).note(why)
    return status


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
