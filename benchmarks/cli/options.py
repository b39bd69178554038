"""The options of the command line. Nothing heavy is imported here, so that --help answers at once."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches
from typing import NoReturn

from benchmarks.system.settings import a_folder, a_number, add_options

PROGRAM = "run_all.py"
DEFAULT = "digits"
"""Protocol that runs if none is named."""


class Parser(argparse.ArgumentParser):
    """Names the nearest option beside one that does not exist."""

    def error(self, message: str) -> NoReturn:
        if found := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            near = get_close_matches(found[1], self._option_string_actions, 1)
            message += f" (did you mean {near[0]}?)" if near else ""
        super().error(message)


def parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    p = Parser(
        prog=program,
        description="Run few-shot class-incremental methods on a protocol and write results/<protocol>.md. "
        "Runs that are done are not repeated.",
        allow_abbrev=False,
    )
    p.add_argument(
        "--protocol",
        help=f"name of a file in protocols/, or a path to a YAML file (default: {DEFAULT}; all with --verify and --report-only)",
    )
    p.add_argument("--methods", help="such as lecnet,icarl:original (default: the protocol's list, or every method of no group)")
    p.add_argument("--study", help="such as components or gamma,tau: variants of protocols/studies/, or a path to a YAML file")
    p.add_argument("--seeds", help="such as 0-9 or 0,2,5-7 (default: the protocol's, ten)")
    p.add_argument("--recipe", help="how the base is trained (default: the protocol's)")
    p.add_argument("--split", help="paper, canonical, canonical-order or lec (default: the protocol's first)")
    p.add_argument("--set", action="append", default=[], metavar="METHOD.FIELD=VALUE", help="change a method's parameter; may be repeated")
    p.add_argument("--force", action="store_true", help="run again what is done; a record stays until the new one is whole")
    p.add_argument("--workers", type=a_number, help="runs at a time (default: one per core; on a GPU one per 6 GiB, at most twelve)")
    p.add_argument("--executor", default="local", help="where runs are done: local, slurm or ray (default: local; docs/CLUSTER.md)")
    p.add_argument(
        "--slurm", action="append", default=[], metavar="KEY=VALUE,...", help="options of sbatch, such as partition=gpu,time=60,gpus=1"
    )
    p.add_argument("--ray", action="append", default=[], metavar="KEY=VALUE,...", help="such as address=HOST:6379,cpus=2,gpus=0.5")
    add_options(p)
    mode = p.add_mutually_exclusive_group()
    mode.add_argument("--verify", action="store_true", help="check the records that are there against predictions, splits and images")
    mode.add_argument("--report-only", action="store_true", help="write the tables from the records that are there")
    mode.add_argument("--plan", action="store_true", help="say what would run and how long it may take")
    mode.add_argument(
        "--export",
        metavar="FORMAT",
        help="latex, csv or parquet: write tables of accuracies and tests for a paper, and figures as PDF; tensorboard: curves of all runs",
    )
    mode.add_argument("--compare", nargs=2, type=a_folder, metavar=("A", "B"), help="compare two results folders")
    mode.add_argument("--confusion", metavar="METHOD", help="which sessions' classes a method takes for which, from kept predictions")
    mode.add_argument("--check", metavar="METHOD", help="run the contract's checks on one method, in about a minute")
    mode.add_argument("--merge", type=a_folder, metavar="OTHER_RESULTS", help="copy the records of another folder that pass verification")
    mode.add_argument(
        "--reproduce", type=a_number, metavar="N", help="repeat N finished runs in a temporary folder and compare the results"
    )
    mode.add_argument("--list", action="store_true", help="list protocols and methods")
    return p
