"""Measures speed and prints Markdown: `python -m benchmarks.tools.timing`, on an idle machine. Nothing under results/ is changed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.system.errors import USER_ERRORS
from benchmarks.system.settings import Settings, add_options
from benchmarks.system.surroundings import settle

if TYPE_CHECKING:
    from benchmarks.tools.timing.sections import Bench

SECTIONS = ("base", "session", "evaluation", "sweep", "growth", "views", "start", "card")


def measurements(bench: Bench, records: Path, wanted: list[str]) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields the title and the measuring function of every requested table. Nothing is measured yet."""
    from benchmarks.tools.timing import card, sections, sweep

    if "base" in wanted:
        yield "Base session: training, ResNet-20, CIFAR-100, batches of 128", partial(sections.base_training, bench)
    for net in sections.NETS:
        if "session" in wanted:
            yield f"Incremental session of 25 images, 100 iterations: {net}", partial(sections.incremental_session, bench, net)
    for net in sections.NETS:
        if "evaluation" in wanted:
            yield f"Evaluation of all test images: {net}", partial(sections.evaluation, bench, net)
    if "evaluation" in wanted:
        yield "Evaluation after each of nine sessions: ResNet-20, CIFAR-100", partial(sections.evaluation_of_sessions, bench)
    if "sweep" in wanted:
        yield "A sweep with one shared base", partial(sweep.shared_base, bench, "digits")
        yield "A sweep with one shared base, from the records' costs", partial(sweep.from_records, "cifar100", "quick", records)
    if "growth" in wanted:
        yield "Growth with the sessions", partial(sweep.growth, bench, "omniglot", ("proto", "lecnet:frozen", "ft_cnn", "topic"))
    if "views" in wanted:
        yield "Views of the shots", partial(sweep.views, bench, "omniglot", "lecnet:frozen")
    if "start" in wanted:
        yield "Start", sweep.start_up
    if "card" in wanted:
        yield "A card", partial(card.card, bench)


def main(arguments: list[str]) -> int:
    settle()
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.timing", description="Time the suite against bare torch and stock Avalanche."
    )
    p.add_argument("--only", choices=SECTIONS, action="append", help="may be repeated (default: all)")
    p.add_argument("--rounds", type=int, default=5, help="of every contender in turn, after one that is not counted (default: 5)")
    add_options(p)
    options = p.parse_args(arguments)
    if options.rounds < 1:
        print("timing: --rounds must be at least 1", file=sys.stderr)
        return 2
    from benchmarks.running.measuring import git_commit
    from benchmarks.system.compiling import find_compiler
    from benchmarks.system.device import environment, make_deterministic, resolve_precision
    from benchmarks.tools.timing.sections import Bench

    try:
        settings = Settings.of(options)
        make_deterministic(settings.threads)
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(replace(settings, results=Path(scratch)), options.rounds)
            compiler = find_compiler(str(bench.device)) if settings.compile else None
            facts = environment(bench.device, resolve_precision("auto", bench.device, settings.precision), compiler) | {
                "commit": git_commit()[:8]
            }
            print("Measured with " + ", ".join(f"{name} {value}" for name, value in facts.items()) + ".", flush=True)
            print(f"Medians of {bench.rounds} rounds, contenders in turn; ratios round by round: median (least to most).\n", flush=True)
            for title, measure in measurements(bench, settings.results, options.only or list(SECTIONS)):
                print(f"### {title}\n\n{measure()}\n", flush=True)
    except USER_ERRORS as error:
        print(f"timing: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
