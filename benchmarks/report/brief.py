"""The short table of some runs: what a command ends with, and what the Python interface returns."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.records.schema import Record
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from benchmarks.system.errors import RecordError


def brief(records: Sequence[Record]) -> pd.DataFrame:
    """Frame with one row per variant, in the order of the records: seeds, mean accuracy after each session, their average, PD (first minus
    last accuracy) and the last session's harmonic mean of base and novel accuracy, all in percent.

    Raises RecordError for records of several protocols, recipes or splits, or for two records of one run.
    """
    identities = [record.identity for record in records]
    tables = dict.fromkeys((identity.protocol, identity.recipe, identity.split) for identity in identities)
    if len(tables) != 1:
        named = "; ".join(f"{protocol}, recipe {recipe}, split {split}" for protocol, recipe, split in tables)
        raise RecordError(f"a table holds records of one protocol, recipe and split, not of {named or 'none'}")
    variants: dict[str, list[Record]] = {}
    for record in records:
        variants.setdefault(record.identity.variant, []).append(record)
    section = Section(identities[0].recipe, identities[0].split, variants)
    rows = {}
    for variant, of_variant in variants.items():
        curves, last = section.curves(variant).mean(), section.last[section.last["variant"] == variant]
        rows[label_of(of_variant[0])] = {
            "Seeds": len(of_variant),
            **curves,
            "Average": curves.mean(),
            "PD": metrics.performance_drop(list(curves)),
            "Harmonic mean": last["hm"].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Method")
