"""(d) Time that a shared base model saves in a sweep, and (e) growth over the sessions, both measured on whole runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from benchmarks.metrics.accuracy import micro
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.report.tables import markdown
from benchmarks.running.runner import Runner
from benchmarks.system.files import SUITE_ROOT
from benchmarks.system.settings import Settings
from benchmarks.tools.timing.sections import Bench
from protocols import load_protocol
from protocols.schema import Protocol

VIEWS = (None, 1, 10)


def shared_base(bench: Bench, name: str) -> str:
    """Times a sweep of the protocol's methods with one seed, twice: with one base model for all, and with one for each."""
    protocol = load_protocol(name)
    runs = identities(make_request(protocol, None, None, "0", None, []))
    together = seconds_of(runs, protocol, [bench.settings] * len(runs))
    alone = [replace(bench.settings, results=bench.settings.results / f"alone{number}") for number in range(len(runs))]
    apart = seconds_of(runs, protocol, alone)
    rows = [
        ["one base for all", f"{together:.1f}", "1"],
        ["a base for each method", f"{apart:.1f}", f"{apart / together:.2f}"],
    ]
    return markdown(rows, [f"{name}, seed 0, {len(runs)} methods", "s", "times"])


def seconds_of(runs: Sequence[Identity], protocol: Protocol, settings: Sequence[Settings]) -> float:
    started = time.perf_counter()
    for identity, own in zip(runs, settings, strict=True):
        Runner(protocol, own).run(identity)
    return time.perf_counter() - started


def from_records(name: str, recipe: str, results: Path) -> str:
    """The same comparison, from the stored costs of a long protocol's runs: the seconds of the base model count once, or once per
    method."""
    ledger = Ledger(Store(results))
    runs = identities(make_request(load_protocol(name), recipe, None, None, None, []))
    by_seed: dict[int, list[Costs]] = {}
    for record in ledger.records(runs):
        if (cost := costs_of(record)) is not None:
            by_seed.setdefault(record.identity.seed, []).append(cost)
    rows = []
    for seed, of_seed in sorted(by_seed.items()):
        base = max(cost.base_seconds for cost in of_seed)
        sessions = sum(cost.sessions_seconds for cost in of_seed)
        if base:
            together, apart = base + sessions, len(of_seed) * base + sessions
            rows.append([str(seed), str(len(of_seed)), f"{base:.0f}", f"{sessions:.0f}", f"{apart / together:.2f}"])
    if not rows:
        return f"No run of {name}, recipe {recipe}, has left what its base cost."
    return markdown(rows, [f"{name}, {recipe}: seed", "methods", "base (s)", "all sessions (s)", "a base each / one base"])


def growth(bench: Bench, name: str, variants: Sequence[str]) -> str:
    """Table of training seconds per session in the first and the second half of the sessions, and peak memory of the process."""
    protocol = load_protocol(name)
    rows = []
    for variant in variants:
        [identity] = identities(make_request(protocol, None, None, "0", variant, []))
        _, costs, _ = Runner(protocol, bench.settings).run(identity)
        seconds = costs.session_seconds[2:]  # the first session also warms up
        half = len(seconds) // 2
        first, last = mean(seconds[:half]), mean(seconds[-half:])
        rows.append([variant, f"{first:.2f}", f"{last:.2f}", f"{last / first:.2f}", f"{costs.peak_memory_mib:.0f}"])
    return markdown(rows, [f"{name}", "early sessions (s)", "late sessions (s)", "late / early", "peak memory so far (MiB)"])


def views(bench: Bench, name: str, variant: str) -> str:
    """Table of training seconds and last accuracy with new augmentations in every epoch, and with a few views of the shots."""
    protocol, rows = load_protocol(name), []
    method = variant.partition(":")[0]
    for number in VIEWS:
        overrides = [] if number is None else [f"{method}.views={number}"]
        [identity] = identities(make_request(protocol, None, None, "0", variant, overrides))
        record, costs, _ = Runner(protocol, bench.settings).run(identity)
        last = micro(record.sessions[-1].correct, record.sessions[-1].total)
        rows.append([f"{variant}, {'fresh' if number is None else number}", f"{sum(costs.session_seconds):.1f}", f"{last:.2f}"])
    return markdown(rows, [f"{name}: views", "sessions, training (s)", "last accuracy"])


def start_up() -> str:
    """Table of seconds until the command line answers."""
    root = SUITE_ROOT
    rows = []
    for option in ("--help", "--list"):
        started = time.perf_counter()
        subprocess.run([sys.executable, str(root / "run_all.py"), option], cwd=root, capture_output=True, check=True)
        rows.append([f"run_all.py {option}", f"{time.perf_counter() - started:.2f}"])
    return markdown(rows, ["", "s"])
