"""A process that has imported all that a command needs, and forks one for each line it reads: a start costs a second instead of ten.

The child is what `python run_all.py` would be by then: a session of its own, its output in files, the saboteur listening.
Read is a JSON object {arguments, plan, out, err}; written, when the child has ended, its status as subprocess has it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import avalanche.training
import matplotlib.pyplot
import pandas
from saboteur import Plan, Saboteur, Telling

import benchmarks.planning.preflight
import benchmarks.report
import benchmarks.running.runner
import benchmarks.sweeping.sweep
from benchmarks.base import cache
from benchmarks.cli.main import main

IMPORTED = (avalanche, matplotlib, pandas, benchmarks)


def be_the_command(wanted: dict[str, Any]) -> int:
    os.setsid()
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(wanted[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if wanted["plan"] is not None:
        plan, saboteur = Plan(**wanted["plan"]), Saboteur()
        saboteur.take(plan)
        sys.stderr = Telling(sys.stderr, saboteur)
        if plan.checkpoints:
            cache.CHECKPOINT_SECONDS = 0.0
    return main(wanted["arguments"])


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = be_the_command(json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
