"""What runs cost, in means over those of one processor: seconds of two say nothing together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.schema import Record
from benchmarks.report.cells import NONE
from benchmarks.report.frame import label_of
from benchmarks.report.tables import markdown

Pair = tuple[Record, Costs]


@dataclass(frozen=True)
class MeanCost:
    """Seconds, mean over `seeds` runs (the base's: over the `trained` runs that trained it, None for none), highest peak memory in MiB,
    and the commits that ran them. `processor` is as the environment names it."""

    processor: str
    seeds: int
    base: float | None
    trained: int
    training: float
    testing: float
    memory: float
    commits: tuple[str, ...]


def with_costs(records: Sequence[Record]) -> list[Pair]:
    """The records beside which a cost file is left."""
    return [(record, costs) for record in records if (costs := costs_of(record)) is not None]


def by_processor(pairs: Sequence[Pair]) -> list[MeanCost]:
    """One for each processor, that with the most runs first."""
    found: dict[str, list[Costs]] = {}
    for record, costs in pairs:
        found.setdefault(str(record.environment["device"]), []).append(costs)
    return [mean_cost(processor, found[processor]) for processor in sorted(found, key=lambda name: (-len(found[name]), name))]


def mean_cost(processor: str, several: Sequence[Costs]) -> MeanCost:
    trained = [costs.base_seconds for costs in several if costs.base_seconds]
    return MeanCost(
        processor,
        len(several),
        float(np.mean(trained)) if trained else None,
        len(trained),
        float(np.mean([sum(costs.session_seconds) for costs in several])),
        float(np.mean([sum(costs.evaluation_seconds) for costs in several])),
        max(costs.peak_memory_mib for costs in several),
        tuple(sorted({costs.commit[:8] + ("+changes" if costs.commit.endswith("+changes") else "") for costs in several})),
    )


def cost_table(variants: Mapping[str, Sequence[Pair]]) -> str:
    """Table with a row for each variant and processor."""
    rows = []
    for pairs in variants.values():
        for cost in by_processor(pairs):
            base = NONE if cost.base is None else f"{cost.base:.1f} (n={cost.trained})"
            numbers = [f"{cost.training:.1f}", f"{cost.testing:.1f}", f"{cost.memory:.0f}"]
            rows.append([label_of(pairs[0][0]), cost.processor, str(cost.seeds), base, *numbers, ", ".join(cost.commits)])
    titles = ["Base (s)", "Sessions, training (s)", "Sessions, testing (s)", "Peak memory (MiB)"]
    return markdown(rows, ["Method", "Processor", "Seeds", *titles, "Commits"])
