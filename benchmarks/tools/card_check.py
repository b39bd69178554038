"""A table of several seeds within a time limit, phase by phase: `python -m benchmarks.tools.card_check --seeds 0-9 --limit 520`.

For a GPU that is lent for minutes. It stops by itself, and what is finished by then stands in the results folder, with its pages, the base
models and a report, `card_check.md`. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.system.errors import USER_ERRORS
from benchmarks.system.files import SUITE_ROOT, write_atomic
from benchmarks.system.settings import Settings, add_options
from benchmarks.system.surroundings import settle
from protocols.schema import Protocol

RESERVE = 20.0  # seconds of the limit that are left for pages and checks, or a fifth of it
GRACE = 3.0  # seconds between asking a command to stop and stopping it


@dataclass(frozen=True)
class Phase:
    """One command of a check. `last`: pages and checks, for which time is reserved."""

    title: str
    command: tuple[str, ...]
    last: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a phase ended: `done`, `failed`, `stopped` at the limit, or `left out` since there was no time. `said` is its last line."""

    title: str
    ended: str
    seconds: float
    said: str = ""


def run_phases(phases: Sequence[Phase], limit: float) -> list[Outcome]:
    """Runs the commands one after the other for at most `limit` seconds. What they print to stderr is seen at once."""
    started, outcomes = time.monotonic(), []
    for phase in phases:
        left = started + limit - time.monotonic() - (0 if phase.last else min(RESERVE, limit / 5))
        outcomes.append(run_one(phase, left) if left > 0 else Outcome(phase.title, "left out", 0.0))
    return outcomes


def run_one(phase: Phase, seconds: float) -> Outcome:
    started = time.monotonic()
    process = subprocess.Popen(phase.command, cwd=SUITE_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=seconds)
        ended = "done" if process.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        out, ended = stopped(process), "stopped"
    except BaseException:
        stopped(process)
        raise
    return Outcome(phase.title, ended, time.monotonic() - started, (out.strip().splitlines() or [""])[-1])


def stopped(process: subprocess.Popen[str]) -> str:
    """Stops the command and its workers, which may happen at any time (docs: kill it anywhere). Returns what it has printed."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)
    return process.communicate()[0]


def phases_of(protocol: Protocol, name: str, options: argparse.Namespace, settings: Settings) -> list[Phase]:
    """The commands of a check: base sessions, all other methods, Joint-CNN for the seeds of `--joint`, pages, verification."""
    from benchmarks.planning.plan import parse_methods

    wanted = [f"{method}:{preset}" + (f"@{kind}" if kind else "") for method, preset, kind in parse_methods(options.methods, protocol)]
    others = [variant for variant in wanted if variant.partition(":")[0] not in ("base_only", "joint_cnn")]
    places = ["--results", str(settings.results), "--data-root", str(settings.data_root), "--device", settings.device]
    places += ["--threads", str(settings.threads), "--precision", settings.precision, *(() if settings.compile else ("--no-compile",))]
    places += ["--record-sessions"] if settings.record_sessions else []
    for option, folder in (("--bases", settings.own_bases), ("--methods-dir", settings.methods_dir)):
        places += [] if folder is None else [option, str(folder)]
    door = (sys.executable, str(SUITE_ROOT / "run_all.py"), "--protocol", name)
    chosen = [*(("--recipe", options.recipe) if options.recipe else ()), *(("--split", options.split) if options.split else ())]

    def runs(title: str, variants: Sequence[str], seeds: str) -> Phase:
        workers = ("--workers", str(options.workers)) if options.workers else ()
        return Phase(title, (*door, *chosen, "--methods", ",".join(variants), "--seeds", seeds, *workers, *places))

    phases = [runs("base sessions, BaseOnly", ["base_only"], options.seeds)]
    if others:
        phases.append(runs(f"{len(others)} other methods", others, options.seeds))
    if options.joint:
        phases.append(runs(f"Joint-CNN, seeds {options.joint}", ["joint_cnn"], options.joint))
    phases.append(Phase("pages", (*door, "--report-only", "--results", str(settings.results)), last=True))
    return [*phases, Phase("verification", (*door, "--verify", *places[:4]), last=True)]


def report(outcomes: Sequence[Outcome], results: Path) -> str:
    """The phases as a Markdown table, and how many records there are."""
    from benchmarks.report.tables import markdown

    rows = [[one.title, one.ended, f"{one.seconds:.0f}", one.said] for one in outcomes]
    records = [path for path in (results / "records").rglob("seed*.json") if path.name.count(".") == 1]
    return f"{markdown(rows, ['Phase', 'Ended', 's', 'Said'])}\n\n{len(records)} records finished."


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.tools.card_check", description=(__doc__ or "").splitlines()[0])
    p.add_argument("--protocol", default="cifar100", help="name of protocols/*.yaml, or a file (default: cifar100)")
    p.add_argument("--recipe", help="default: the protocol's own")
    p.add_argument("--split", help="default: the protocol's first")
    p.add_argument("--seeds", default="0-9", help="default: 0-9")
    p.add_argument("--methods", help="default: the protocol's methods but Joint-CNN")
    p.add_argument("--joint", help="seeds of Joint-CNN, which shows five times as many images as all base sessions (default: none)")
    p.add_argument("--limit", type=float, default=520.0, help="seconds after which all is over (default: 520)")
    p.add_argument("--workers", type=int, help="as of run_all.py")
    add_options(p)
    return p


def main(arguments: list[str]) -> int:
    """Returns the exit status: 0 all done, 1 something was stopped or failed, 2 bad usage or missing data."""
    settle()
    options = parser().parse_args(arguments)
    if not 0 < options.limit <= 86_400:
        print("card_check: --limit must be more than 0 seconds, and at most a day", file=sys.stderr)
        return 2
    started = time.monotonic()
    from benchmarks.data.images import load_images
    from protocols import load_protocol
    from protocols.loading import names_a_file

    if names_a_file(options.protocol):  # the commands start in the suite's folder
        options.protocol = str(Path(options.protocol).resolve())

    try:
        settings, protocol = Settings.of(options), load_protocol(options.protocol)
        phases = phases_of(protocol, options.protocol, options, settings)
        load_images(protocol.data, settings.data_root)
        took = time.monotonic() - started
        outcomes = [Outcome("images", "done", took), *run_phases(phases, options.limit - took)]
        text = report(outcomes, settings.results)
        write_atomic(settings.results / "card_check.md", (text + "\n").encode())
    except USER_ERRORS as error:
        print(f"card_check: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0 if all(one.ended == "done" for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
