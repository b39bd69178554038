"""The table of paired comparisons: differences between methods, with tests over seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.metrics.accuracy import sampling_half_width
from benchmarks.metrics.catalogue import tested
from benchmarks.metrics.statistics import ALPHA, FEWEST_TO_TEST, MOST_SEEDS, mean_and_half_width
from benchmarks.report.cells import NONE
from benchmarks.report.frame import label_of
from benchmarks.report.ranking import Column, Pair, against, leader, seeds_needed
from benchmarks.report.section import Section
from benchmarks.report.tables import markdown

NOT_AMONG_COLUMNS = (
    f"Columns are not corrected among themselves, so that a table of several holds a p below {ALPHA} by chance more often than one time in "
    f"{round(1 / ALPHA)}. An interval is of its own difference, not corrected for the number of comparisons: if it excludes 0 but p "
    f"is not below {ALPHA}, the difference is not significant."
)
CELL = (
    "A cell is the row minus the named one: mean over the seeds that both have ± its 95 % interval, then p of the paired t-test, "
    "Holm-corrected within the column; p –: the difference is the same for every seed, so that no test is possible."
)
PICKED = "The leader was chosen on these same numbers, so its advantage is overestimated."
EXPORTED = f"After the last session. {CELL} {NOT_AMONG_COLUMNS} {PICKED}"
"""Legend of the table as it is exported."""
LEGEND = (
    f"After the last session, the best accuracy first. {CELL} Where p is not below {ALPHA}, it says how many seeds "
    "would separate the two with a power of 80 % (at the pair's step of the correction) if the differences kept their mean and spread: "
    f"an estimate from the seeds at hand. {NOT_AMONG_COLUMNS} Bold, above, is corrected over all columns of its table, so a "
    f"row may have every p below {ALPHA} here and not be bold there. {PICKED} "
    "Test set: 95 % half-width due to the finite number of test images. All seeds use the same test images, so no other ± includes this "
    "uncertainty."
)


def comparison(section: Section) -> str:
    """Table of every ranked row minus the leader and minus BaseOnly, in accuracy and harmonic mean; or the reason for no test."""
    ranked = section.ranked
    if len(ranked) < 2:
        return "No test: fewer than two rows are ranked."
    columns: dict[str, dict[str, str]] = {}
    for title, reference, is_leader, pairs in compared(section):
        cells = {name: cell(*of_pair) for name, of_pair in pairs.items()}
        if any(cells.values()):
            columns[f"{title} − {label_of(section.variants[reference][0])}"] = cells | {reference: "leader" if is_leader else ""}
    if not columns:
        return f"No test: no two ranked rows share {FEWEST_TO_TEST} seeds."
    last = section.last
    accuracy = {variant: float(last.loc[last["variant"] == variant, "accuracy"].mean()) for variant in ranked}
    images = sum(section.records[0].sessions[-1].total)
    lines = []
    for variant in sorted(ranked, key=lambda name: -accuracy[name]):
        width = f"± {sampling_half_width(accuracy[variant], images):.2f}"
        cells_of_row = [of_column[variant] or NONE for of_column in columns.values()]
        lines.append([label_of(section.variants[variant][0]), width, *cells_of_row])
    return f"{markdown(lines, ['Method', 'Test set', *columns])}\n\n{LEGEND}{unranked(section)}"


def compared(section: Section) -> Iterator[tuple[str, str, bool, dict[str, tuple[Pair, int | None]]]]:
    """For each tested metric, and for the leader in it and BaseOnly: heading, that row, whether it is the leader, and every other ranked
    row paired with it."""
    controls = [variant for variant in section.ranked if section.variants[variant][0].identity.method == "base_only"]
    for metric, title in tested().items():
        rows = section.scores(metric, section.ranked)
        first = leader(rows)
        for reference in dict.fromkeys(([first] if first else []) + controls[:1]):
            yield title, reference, reference == first, pairs_of(reference, rows)


def pairs_of(reference: str, rows: Column) -> dict[str, tuple[Pair, int | None]]:
    """Every other row paired with `reference`, and the number of seeds that would separate the two; None if they are separated or
    cannot be tested."""
    pairs = against(reference, rows)
    needed = seeds_needed(pairs)
    return {name: (pair, needed.get(name)) for name, pair in pairs.items()}


def cell(pair: Pair, needed: int | None) -> str:
    """Cell such as `-0.68 ± 1.61, p 0.410, 75 seeds`; empty if the two share too few seeds."""
    if len(pair.differences) < FEWEST_TO_TEST:
        return ""
    mean, width = mean_and_half_width(list(pair.differences))
    p = NONE if np.isnan(pair.p) else "<0.001" if pair.p < 0.001 else f"{pair.p:.3f}"
    seeds = "" if needed is None else f", >{MOST_SEEDS} seeds" if needed > MOST_SEEDS else f", {needed} seeds"
    return f"{mean:+.2f} ± {width:.2f}, p {p}{seeds}"


def unranked(section: Section) -> str:
    """Sentence naming the rows that are not ranked; empty if there are none."""
    names = [label_of(records[0]) for variant, records in section.variants.items() if variant not in section.ranked]
    return f" Not ranked: {', '.join(names)}." if names else ""
