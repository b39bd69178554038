"""Sentences on what a table's means do not show: seeds that lie far apart, and variants that all lose to doing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from benchmarks.metrics.statistics import EQUAL
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section

FAR = 20.0
"""Seeds of a row that lie farther apart than that, in points, are shown one by one."""


def far_apart(section: Section) -> str:
    """Sentence with the last accuracy of every seed of the rows whose seeds lie more than FAR points apart, the lowest first; empty if
    there is no such row."""
    found = []
    for variant, records in section.variants.items():
        last = section.curves(variant).iloc[:, -1].sort_values()
        if last.iloc[-1] - last.iloc[0] > FAR:
            found.append(f"{label_of(records[0])}: {', '.join(f'{value:.2f}' for value in last)}")
    if not found:
        return ""
    return (
        f"**Seeds more than {FAR:.0f} points apart** after the last session, whose mean may be near none of them; accuracy seed by "
        f"seed, the lowest first: {'; '.join(found)}."
    )


def all_below_nothing(section: Section, labels: Mapping[str, str]) -> str:
    """Sentence for a study in which every variant but BaseOnly ends, in the mean, below what its base's right answers alone would give
    (docs/methods.md 2.1). Empty if one does not, or if there are fewer than two. `labels`: variant -> label."""
    ends, but = {}, ""
    for variant, label in labels.items():
        records = section.variants[variant]
        if records[0].identity.method == "base_only":
            but = " but BaseOnly"
            continue
        images = [sum(record.sessions[-1].total) for record in records]
        last, first = (
            fmean(100 * sum(record.sessions[at].correct) / total for record, total in zip(records, images, strict=True)) for at in (-1, 0)
        )
        ends[label] = (last, first)
    if len(ends) < 2 or any(last >= nothing - EQUAL for last, nothing in ends.values()):
        return ""
    best = max(ends, key=lambda label: ends[label][0] - ends[label][1])
    last, nothing = ends[best]
    return (
        f"**In the mean, every variant here{but} loses more right answers on base classes than it gains on novel ones**: the one nearest "
        f"to doing nothing, `{best}`, ends at {last:.2f}, where keeping its base's right answers alone gives {nothing:.2f}. A difference "
        "in accuracy between such variants may be one in forgetting."
    )
