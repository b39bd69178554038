"""Long tables, a row a seed, to means with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.metrics.statistics import half_widths

PRECISION = 9  # digits that mean something on every processor


def check(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """ValueError for a table without these columns, or without rows."""
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"a figure needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if table.empty:
        raise ValueError("nothing to draw: the table has no rows")


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """A row a group of `by`, in order of appearance: mean, half_width (NaN for one seed), seeds.

    A group that is NaN throughout is left out: before the first novel class there is no harmonic mean. ValueError where only some
    of its seeds are NaN, or a seed stands there twice.
    """
    by = list(by)
    check(table, [*by, "seed", value])
    if (twice := table.duplicated([*by, "seed"])).any():
        raise ValueError(f"{describe(table[twice].iloc[0], [*by, 'seed'])} stands there twice")
    unknown = table[value].isna()
    known = table[~unknown]
    if len(both := table[unknown].merge(known, on=by)):
        raise ValueError(f"{describe(both.iloc[0], by)}: some seeds have a number, others NaN")
    if known.empty:
        raise ValueError(f"nothing to draw: no number in the column {value}")
    groups = known[by].drop_duplicates()
    wide = known.pivot(index="seed", columns=by, values=value).sort_index()[list(groups.itertuples(index=False, name=None))].to_numpy(float)
    mean, width = np.empty(wide.shape[1]), np.empty(wide.shape[1])
    present = ~np.isnan(wide)
    patterns, which = np.unique(present, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):  # groups with the same seeds go together: one bootstrap for all
        columns = np.ravel(which) == number
        block = wide[np.ix_(pattern, columns)]
        mean[columns], width[columns] = block.mean(axis=0), half_widths(block)
    return groups.reset_index(drop=True).assign(mean=mean.round(PRECISION), half_width=width, seeds=present.sum(axis=0))


def check_even(numbers: pd.DataFrame, by: Sequence[str]) -> None:
    """ValueError where the points of one line stand on different seeds: the line would rise and fall with who is there."""
    for _, line in numbers.groupby(list(by), sort=False):
        if line["seeds"].nunique() > 1:
            least, most = line["seeds"].min(), line["seeds"].max()
            raise ValueError(f"{describe(line.iloc[0], by)}: not every seed has every point ({least} to {most} seeds)")


def with_published(measured: pd.DataFrame, published: pd.DataFrame | None, by: Sequence[str]) -> pd.DataFrame:
    """Measured means, then published values in the same form, without interval and seeds; a column `source` tells which is which."""
    numbers = measured.assign(source="measured").astype({"seeds": "Int64"})
    if published is None or published.empty:
        return numbers
    by = list(by)
    check(published, [*by, "value"])
    if (twice := published.duplicated(by)).any():
        raise ValueError(f"published twice: {describe(published[twice].iloc[0], by)}")
    reported = published.dropna(subset=["value"]).rename(columns={"value": "mean"})[[*by, "mean"]].assign(source="published")
    return pd.concat([numbers, reported], ignore_index=True)


def number_of(label: str) -> float:
    """The number that a label is, NaN where it is a word."""
    try:
        number = float(label)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def describe(row: pd.Series, by: Sequence[str]) -> str:
    return " ".join(f"{column} {row[column]}" for column in by)


def interval_note(numbers: pd.DataFrame, what: str, cut: bool = False) -> str:
    """`Bands: 95 % interval of the mean, 10 seeds.`"""
    end = ", cut where they leave the axes." if cut else "."
    fewest, most = int(numbers["seeds"].min()), int(numbers["seeds"].max())
    if most == 1:
        return "One seed: no intervals."
    if fewest == most:
        return f"{what}: 95 % interval of the mean, {most} seeds{end}"
    return f"{what}: 95 % interval of the mean, {fewest} to {most} seeds{'; none for one seed' * (fewest == 1)}{end}"


def published_note(numbers: pd.DataFrame) -> str:
    return "Hollow, dashed: published." if (numbers["source"] == "published").any() else ""
