"""Records that share protocol, recipe and split: the content of one section of a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.report.frame import to_frame
from benchmarks.report.ranking import Column, is_ranked, scores_of


@dataclass(frozen=True)
class Section:
    """Records of one recipe and split by variant, in the order of the tables, and the failed runs.

    `differs` says how it differs from another section with the same recipe and split.
    """

    recipe: str
    split: str
    variants: dict[str, list[Record]]
    differs: str = ""
    failures: Sequence[FailedRun] = ()

    @property
    def name(self) -> str:
        """Heading of the section."""
        return f"Recipe `{self.recipe}`, split `{self.split}`" + (f", {self.differs}" if self.differs else "")

    @property
    def records(self) -> list[Record]:
        return [record for records in self.variants.values() for record in records]

    @property
    def seeds(self) -> list[int]:
        """The seeds of all runs, finished or failed, in ascending order."""
        return sorted({record.identity.seed for record in self.records} | {failed.seed for failed in self.failures})

    @property
    def ranked(self) -> list[str]:
        return [variant for variant, records in self.variants.items() if is_ranked(records[0])]

    @cached_property
    def frame(self) -> pd.DataFrame:
        return to_frame(self.records)

    @cached_property
    def last(self) -> pd.DataFrame:
        """The frame's rows of the last session."""
        return self.frame[self.frame["session"] == self.frame["session"].max()]

    def curves(self, variant: str) -> pd.DataFrame:
        """Accuracy of a variant: one row per seed, one column per session."""
        return self.frame[self.frame["variant"] == variant].pivot(index="seed", columns="session", values="accuracy").rename(columns=str)

    def scores(self, metric: str, variants: Iterable[str] | None = None) -> Column:
        """Variant -> the metric's value after the last session, for each seed. `variants`: those of the section, if not all."""
        last = self.last.set_index("seed")
        named = self.variants if variants is None else variants
        return {variant: scores_of(last.loc[last["variant"] == variant, metric]) for variant in named}

    def failed(self, variant: str) -> int:
        """Number of failed runs of a variant."""
        return sum(failed.variant == variant for failed in self.failures)

    def failed_rows(self) -> dict[str, int]:
        """Variants that have failures but no records: label -> number of failures."""
        return Counter(f"`{failed.variant}`" for failed in self.failures if failed.variant not in self.variants)

    def seeds_cell(self, runs: int, failed: int) -> str:
        """Cell such as `10`, or `8 of 10, 1 failed` if runs are missing."""
        return (str(runs) if runs == len(self.seeds) else f"{runs} of {len(self.seeds)}") + (f", {failed} failed" if failed else "")


def slug(label: str) -> str:
    """A label as part of a file's name."""
    return re.sub("[^a-z0-9]+", "-", label.lower()).strip("-")


def stem_of(section: Section, page: str, taken: set[str], study: str = "") -> str:
    """Beginning of the names of a section's files: page, recipe, split, what else differs, and study; with a + for each in `taken` that
    would have the same name. It stands in `taken` then."""
    name = ".".join(filter(None, [page, section.recipe, section.split, slug(section.differs)[:40].strip("-"), study]))
    while name in taken:
        name += "+"
    taken.add(name)
    return name
