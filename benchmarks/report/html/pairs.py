"""Paired tests of a block: every pair of its rows, and every row against the leader of its page."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from benchmarks.metrics.catalogue import tested
from benchmarks.metrics.statistics import half_widths
from benchmarks.report.compare import pairs_of
from benchmarks.report.html.numbers import Number, number
from benchmarks.report.ranking import against, leader
from benchmarks.report.section import Section

Pair = list[Number]
"""First row minus second: mean, half-width of its 95 % interval, p of the paired test, common seeds."""


def pairs_in(section: Section) -> dict[str, list[Pair]]:
    """Metric -> all pairs of the section's rows in the order of `itertools.combinations`. p is that of one test, not corrected."""
    found = {}
    for metric in tested():
        rows = section.scores(metric)
        paired = [against(second, {first: rows[first], second: rows[second]})[first] for first, second in combinations(rows, 2)]
        widths: dict[int, float] = {}
        for count in {len(pair.differences) for pair in paired if len(pair.differences) > 1}:
            of_count = [n for n, pair in enumerate(paired) if len(pair.differences) == count]
            several = half_widths(np.stack([paired[n].differences for n in of_count], axis=1))
            widths |= dict(zip(of_count, several.tolist(), strict=True))
        found[metric] = [
            [number(pair.mean) if len(pair.differences) else None, number(widths.get(n)), number(pair.raw, 6), len(pair.differences)]
            for n, pair in enumerate(paired)
        ]
    return found


def standing(section: Section) -> dict[str, str]:
    """Variant -> where it stands by accuracy after the last session: `leader`, `tie` with it, `behind` or `ahead` of it, or why it is not
    tested.

    The tests are those of the page's table of pairs: against the leader, Holm-corrected within the column.
    """
    said = dict.fromkeys(section.variants, "not ranked")
    rows = section.scores("accuracy", section.ranked)
    first = leader(rows)
    if first is None or len(rows) < 2:
        return said | dict.fromkeys(rows, "no test")
    for variant, (pair, _) in pairs_of(first, rows).items():
        apart = "behind" if pair.mean < 0 else "ahead"  # ahead of the leader: where every row is behind some other
        said[variant] = "no test" if np.isnan(pair.p) else apart if pair.separated else "tie"  # NaN, too, where no two seeds differ
    return said | {first: "leader"}
