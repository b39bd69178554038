"""Ranks the rows of a table's columns by paired tests over common seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.metrics.statistics import ALPHA, FEWEST_TO_TEST, Scores, holm, paired_differences, paired_p, seeds_to_separate
from benchmarks.records.schema import Record

Column = Mapping[str, Scores]
"""One column of a table: variant -> its value for each seed."""


@dataclass(frozen=True)
class Pair:
    """A row minus its reference row, one difference per common seed. `raw` is the p-value of the paired test; `p` is corrected for all
    rows with the same reference in its column, and not for other columns."""

    differences: NDArray[np.float64]
    raw: float
    p: float

    @property
    def mean(self) -> float:
        return float(self.differences.mean())

    @property
    def effect(self) -> float:
        """Mean difference over its standard deviation, for a tested pair; 0 if there is no difference at all."""
        return 0.0 if self.raw == 1 else self.mean / float(self.differences.std(ddof=1))

    @property
    def separated(self) -> bool:
        return self.p < ALPHA  # False for NaN (no test)


def scores_of(values: pd.Series) -> Scores:
    """A column as seed -> value; empty if no seed has a number."""
    return {} if values.isna().all() else dict(zip(values.index.tolist(), values.tolist(), strict=True))


def is_ranked(record: Record) -> bool:
    """Whether a row is ranked: not if test images chose the epochs, and not if all past images are kept (an upper bound)."""
    return record.selection != "oracle_test" and record.memory_budget is not None


def leader(rows: Column) -> str | None:
    """The row that no other is ahead of, among those with enough seeds for a test; None if there is none.

    Two rows are compared by their means over the seeds that both have, if these suffice for a test, else over all their own: by an easy
    seed alone no row leads. Should every row be behind some other, the leader is the one that is least far behind.
    """
    tested = {name: scores for name, scores in rows.items() if len(scores) >= FEWEST_TO_TEST}
    if not tested:
        return None
    seeds = sorted(set().union(*tested.values()))
    values = np.array([[scores.get(seed, np.nan) for seed in seeds] for scores in tested.values()], dtype=float)
    own = np.nanmean(values, axis=1)
    differences = values[:, None] - values
    common = (~np.isnan(differences)).sum(axis=2)
    paired = np.nansum(differences, axis=2) / np.maximum(common, 1)
    deficits = np.where(common >= FEWEST_TO_TEST, paired, own[:, None] - own).min(axis=1)
    return list(tested)[int(np.argmax(np.round(deficits, 9)))]


def against(reference: str, rows: Column) -> dict[str, Pair]:
    """Every other row paired with `reference` over common seeds. Holm's correction is over all pairs, tested or not."""
    differences = {}
    for name, scores in rows.items():
        common = scores.keys() & rows[reference].keys()
        if name != reference:
            mine, theirs = ({seed: of_row[seed] for seed in common} for of_row in (scores, rows[reference]))
            differences[name] = paired_differences(mine, theirs)
    raw = {name: paired_p(values) for name, values in differences.items()}
    corrected = holm(list(raw.values()))
    return {name: Pair(differences[name], raw[name], float(p)) for name, p in zip(raw, corrected, strict=True)}


def seeds_needed(pairs: Mapping[str, Pair]) -> dict[str, int]:
    """For each tested pair that is not separated: the number of seeds that would separate it if mean and spread stayed the same.

    It is computed at the pair's own step of Holm's correction, and is at least that of the steps before. Hence it is never below the
    present number of seeds.
    """
    tested = sorted((name for name in pairs if not np.isnan(pairs[name].raw)), key=lambda name: pairs[name].raw)
    needed, most = {}, 0
    for step, name in enumerate(tested):
        if not pairs[name].separated:
            most = max(most, seeds_to_separate(pairs[name].effect, ALPHA / (len(pairs) - step)))
            needed[name] = most
    return needed


def ahead_of_all(table: Mapping[str, Column]) -> dict[str, str]:
    """Column -> the row to print bold in it. Columns without such a row are left out.

    It is significantly ahead of every other row that has enough seeds for a test, and no other row has a higher mean. Holm's correction
    is over the pairs of all columns: if no row differs from any other, 5 % of tables have something bold, whatever their number of
    columns. Nothing is bold in a tie, or if there is no other row to be tested.
    """
    leaders = {name: first for name, rows in table.items() if (first := leader(rows)) is not None}
    pairs = {(name, row): pair for name, first in leaders.items() for row, pair in against(first, table[name]).items()}
    corrected = holm([pair.raw for pair in pairs.values()])
    separated = {at for at, p in zip(pairs, corrected, strict=True) if p < ALPHA}
    found = {}
    for name, first in leaders.items():
        rows, few = table[name], few_seeds(table[name])
        tested = [(name, row) for row in rows if row != first and row not in few]
        best = np.mean(list(rows[first].values()))
        unbeaten = all(np.mean(list(scores.values())) < best for row, scores in rows.items() if scores and row != first)
        if unbeaten and tested and all(at in separated and pairs[at].mean < 0 for at in tested):
            found[name] = first
    return found


def few_seeds(rows: Mapping[str, Sized]) -> list[str]:
    """Rows with too few seeds for any test."""
    return [name for name, scores in rows.items() if 0 < len(scores) < FEWEST_TO_TEST]
