"""Reduces long tables, one row per seed, to means with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.metrics.statistics import FEWEST_TO_TEST, half_widths

PRECISION = 9  # decimals that are equal on every processor


def check(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises ValueError for a table without these columns or without rows."""
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"a figure needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if table.empty:
        raise ValueError("nothing to draw: the table has no rows")


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """One row per group of `by`, in order of appearance: mean, half_width (NaN for fewer than three seeds), seeds.

    A group that is entirely NaN is left out (e.g. the harmonic mean before the first novel class). Raises ValueError if only some
    of a group's seeds are NaN or a seed occurs twice.
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
    for number, pattern in enumerate(patterns.T):  # groups with the same seeds share one bootstrap
        columns = np.ravel(which) == number
        block = wide[np.ix_(pattern, columns)]
        mean[columns], width[columns] = block.mean(axis=0), half_widths(block)
    return groups.reset_index(drop=True).assign(mean=mean.round(PRECISION), half_width=width, seeds=present.sum(axis=0))


def of_common_seeds(line: pd.DataFrame, points: Sequence[str]) -> pd.DataFrame:
    """The rows of those seeds that have every point of the line, a point being a value of the columns `points`: a line through means over
    different seeds would have a shape that no seed has. Raises ValueError for no such seed, or as `summarise` does."""
    points = list(points)
    check(line, [*points, "seed", "value"])
    known = line.dropna(subset=["value"])
    if known.empty:
        return line
    counts = known.drop_duplicates([*points, "seed"])["seed"].value_counts()
    whole = counts.index[counts == len(known[points].drop_duplicates())]
    if whole.empty:
        raise ValueError("no seed has every point of a line")
    return line[line["seed"].isin(whole)]


def check_even(numbers: pd.DataFrame, by: Sequence[str]) -> None:
    """Raises ValueError if the points of one line are means over different numbers of seeds, which would distort the line."""
    for _, line in numbers.groupby(list(by), sort=False):
        if line["seeds"].nunique() > 1:
            least, most = line["seeds"].min(), line["seeds"].max()
            raise ValueError(f"{describe(line.iloc[0], by)}: not every seed has every point ({least} to {most} seeds)")


def with_published(measured: pd.DataFrame, published: pd.DataFrame | None, by: Sequence[str]) -> pd.DataFrame:
    """Measured means, then published values without interval and seeds. The column `source` is `measured` or `published`."""
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
    """The label as a number; NaN if it is a word."""
    try:
        number = float(label)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def describe(row: pd.Series, by: Sequence[str]) -> str:
    return " ".join(f"{column} {row[column]}" for column in by)


def interval_note(numbers: pd.DataFrame, what: str, cut: bool = False) -> str:
    """A note such as `Bands: 95 % interval of the mean, 10 seeds.`"""
    end = ", cut where they leave the axes." if cut else "."
    fewest, most = int(numbers["seeds"].min()), int(numbers["seeds"].max())
    if most < FEWEST_TO_TEST:
        return "One seed: no intervals." if most == 1 else f"Fewer than {FEWEST_TO_TEST} seeds: no intervals."
    if fewest == most:
        return f"{what}: 95 % interval of the mean, {most} seeds{end}"
    few = f"; none for fewer than {FEWEST_TO_TEST}" if fewest < FEWEST_TO_TEST else ""
    return f"{what}: 95 % interval of the mean, {fewest} to {most} seeds{few}{end}"


def published_note(numbers: pd.DataFrame) -> str:
    return "Hollow, dashed: published." if (numbers["source"] == "published").any() else ""
