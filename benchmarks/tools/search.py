"""Choose hyper-parameters on pseudo-sessions made of base classes: `python -m benchmarks.tools.search --help` (docs/methods.md 1.7).

The base classes of a seed are split into pseudo-base and pseudo-novel classes, and part of their training images is
held out for testing. Neither a novel class nor a test image of the protocol is touched. Every grid point is a variant
like any other, so its records can be read with the same tools.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data.images import load_images
from benchmarks.data.pseudo import pseudo_images
from benchmarks.system.errors import USER_ERRORS, UsageError
from benchmarks.system.files import locked
from benchmarks.system.settings import Settings, add_options
from benchmarks.system.surroundings import settle
from protocols.pseudo import pseudo_protocol
from protocols.reading import plain, short

if TYPE_CHECKING:
    from benchmarks.planning.ledger import Ledger
    from benchmarks.planning.plan import Request
    from benchmarks.records.identity import Identity
    from benchmarks.records.schema import Record
    from benchmarks.running.runner import Runner
    from benchmarks.sweeping.progress import Event
    from benchmarks.sweeping.worker import Task
    from protocols.schema import Protocol

MOST_POINTS = 1000


def parse_grid(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Parses `epochs=5,10,20 gamma=0.6,0.8` into the list of all combinations. Raises UsageError."""
    from benchmarks.planning.plan import parse_value

    axes: dict[str, list[tuple[str, Any]]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not (key and equals and values):
            raise UsageError(f"--grid {short(text)}: write FIELD=VALUE,VALUE,...")
        if key in axes:
            raise UsageError(f"--grid {short(text)}: {short(key)} stands twice; write all its values behind one =")
        axes[key] = [(key, parse_value(value, f"--grid {short(text)}")) for value in apart(values)]
    if (points := math.prod(map(len, axes.values()))) > MOST_POINTS:
        raise UsageError(f"--grid: {points:,} points; at most {MOST_POINTS:,} can be tried at a time")
    return [dict(point) for point in itertools.product(*axes.values())]


def apart(values: str) -> list[str]:
    """The values between commas that stand in no bracket: `[1,2],[3]` are two."""
    parts, depth = [""], 0
    for letter in values:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def search(asked: Request, grid: Sequence[dict[str, Any]], settings: Settings, force: bool = False) -> tuple[str, bool]:
    """Runs every grid point on every seed's pseudo-sessions, with `force` also those that are done. Returns a Markdown table, the best
    harmonic mean after the last session first, and whether all points were run.

    A run that fails is reported on stderr, and a point that misses a seed stands below the table: other seeds are other images.
    results/search/<protocol>-<split>-pseudo.md lists all points ever tried.
    Raises UsageError if no point could be run.
    """
    from benchmarks.planning.ledger import Ledger
    from benchmarks.planning.plan import make_identity
    from benchmarks.records.store import Store
    from benchmarks.report import write_report
    from benchmarks.system.device import make_deterministic

    make_deterministic(settings.threads)
    if len(asked.variants) != 1:
        raise UsageError("--method: one at a time")
    [(method, preset, kind)] = asked.variants
    pseudo = pseudo_protocol(asked.protocol, asked.split)
    request = replace(asked, protocol=pseudo, split="canonical-order")
    ledger = Ledger(Store(settings.results / "search"), anew=uuid.uuid4().hex if force else None)
    runs = {seed: [make_identity(request, method, preset, point, seed, kind) for point in grid] for seed in request.seeds}
    found = run_points(asked, pseudo, runs, ledger, settings)
    if not found:
        raise UsageError("no point of the grid could be run")
    write_report(pseudo, settings.results / "search")
    asked_for = list(dict.fromkeys(run.variant for of_seed in runs.values() for run in of_seed))
    return ranked(request, asked_for, found), all(len(found.get(name, ())) == len(runs) for name in asked_for)


def run_points(
    asked: Request, pseudo: Protocol, runs: dict[int, list[Identity]], ledger: Ledger, settings: Settings
) -> dict[str, list[Record]]:
    """Runs what is not done yet, last what other processes are doing now. Returns the records by variant, each with one record a seed that
    could be run."""
    from benchmarks.planning.preflight import edited_lines
    from benchmarks.running.entering import refuse_impossible
    from benchmarks.running.runner import Runner
    from benchmarks.sweeping.worker import Task

    images = load_images(asked.protocol.data, settings.data_root)
    tried = [run for of_seed in runs.values() for run in of_seed]
    refuse_impossible(pseudo, tried, settings)  # before the first is trained
    ledger.store.finish_replacing(pseudo.name)
    for line in edited_lines(tried, ledger):
        print(line, file=sys.stderr)
    found: dict[str, list[Record]] = {}
    task = Task(pseudo, settings, ledger, time.time(), ledger.anew or uuid.uuid4().hex)
    for seed, of_seed in runs.items():
        runner = Runner(pseudo, settings, pseudo_images(asked.protocol, images, asked.split, seed))
        points = {run.variant: runner.complete(run) for run in of_seed}  # a grid may name a point twice, such as lr=0.1,0.10
        busy = [run for run in points.values() if not run_point(runner, run, task, wait=False)]
        for run in busy:
            if not run_point(runner, run, task, wait=False):
                print(f"{run.name()}: waits for another process that does this run", file=sys.stderr, flush=True)
                run_point(runner, run, task, wait=True)
        for variant, run in points.items():
            if (record := ledger.record(run)) is not None:
                found.setdefault(variant, []).append(record)
    return found


def run_point(runner: Runner, run: Identity, task: Task, wait: bool) -> bool:
    """Does one run unless it is done, and says on stderr how it went. Returns False, and does nothing, if another process is doing it and
    `wait` is False."""
    from benchmarks.sweeping.worker import one_run

    with locked(task.store.path(run, ".lock"), wait) as mine:
        if mine and not task.ledger.is_done(run):
            one_run(lambda: runner, task, run, tell)  # a learning rate may be too high; the other points still count
    return mine


def tell(event: Event) -> None:
    """Prints how a run ended."""
    if event.kind == "done":
        print(f"{event.name()} done", file=sys.stderr, flush=True)
    elif event.kind == "failed":
        print("\n    ".join([f"{event.name()}: {event.text}", *event.more]), file=sys.stderr, flush=True)


def ranked(request: Request, asked: Sequence[str], found: dict[str, list[Record]]) -> str:
    """A table of the points that all seeds could run, the best first, and below it those of the variants `asked` that miss a seed."""
    from benchmarks.report.frame import label_of
    from benchmarks.report.section import Section
    from benchmarks.report.tables import final_table

    seeds = len(request.seeds)
    whole = {name: records for name, records in found.items() if len(records) == seeds}
    part = [f"{label_of(records[0])}: {len(records)} of {seeds} seeds" for name, records in found.items() if name not in whole]
    part += [f"{name}: none of {seeds} seeds" for name in asked if name not in found]
    unranked = f"Not ranked, since runs failed: {'; '.join(part)}." if part else ""
    if not whole:
        return unranked
    section = Section(request.recipe, request.split, whole)
    # Overall accuracy would favour points that learn nothing, since BaseOnly is hard to beat in it (docs/methods.md 2.1).
    criterion = {name: np.mean(list(scores.values())) for name, scores in section.scores("hm").items()}
    best = sorted(whole, key=lambda name: -criterion[name])
    return "\n\n".join(filter(None, [final_table(replace(section, variants={name: whole[name] for name in best})), unranked]))


def main(arguments: list[str]) -> int:
    settle()
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.search", description="Choose a method's parameters on pseudo-sessions of base classes."
    )
    p.add_argument("--protocol", required=True)
    p.add_argument("--method", required=True, help="such as lecnet or lecnet:code")
    p.add_argument("--grid", required=True, nargs="+", metavar="FIELD=VALUES", help="such as epochs=5,10,20 gamma=0.6,0.8")
    p.add_argument("--seeds", default="0-2")
    p.add_argument("--recipe")
    p.add_argument("--split", help="whose base classes to use (default: the protocol's first)")
    p.add_argument("--force", action="store_true", help="run again what is done; a record stays until the new one is whole")
    add_options(p)
    o = p.parse_args(arguments)
    from benchmarks.planning.plan import make_request
    from protocols import load_protocol

    try:
        settings = Settings.of(o)
        request = make_request(load_protocol(o.protocol), o.recipe, o.split, o.seeds, o.method, [])
        table, whole = search(request, parse_grid(o.grid), settings, o.force)
    except USER_ERRORS as error:
        print(f"search: {plain(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("search: interrupted; start it again to go on", file=sys.stderr)
        return 130
    print(table)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
