"""Sentences on what a table's means do not show: they stand where they are true, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.records.schema import Record
from benchmarks.report.bases import several_bases
from benchmarks.report.caveats import all_below_nothing, far_apart
from benchmarks.report.section import Section

Make = Callable[..., Record]
BASE = (8, 9)  # 17 of 40 images after the last session, 42.50, for who keeps it and learns nothing
LABELS = {"lecnet:paper": "SA", "lecnet:ne": "NE", "base_only:default": "BaseOnly"}


def section(make_record: Make, **ends: Sequence[Any]) -> Section:
    """A section from right answers of ten images a class after the last session, one entry a seed."""
    names = {"sa": "lecnet:paper", "ne": "lecnet:ne", "nothing": "base_only:default"}
    variants = {
        names[name]: [make_record(names[name], seed, (BASE, (*BASE, 0), last)) for seed, last in enumerate(of_seeds)]
        for name, of_seeds in ends.items()
    }
    return Section("quick", "paper", variants)


def test_seeds_that_lie_far_apart_are_shown_one_by_one(make_record: Make) -> None:
    """Two of three fell to 5 and 7.5; the other row's lie 20 points apart, and no more."""
    text = far_apart(section(make_record, sa=[(9, 8, 0, 0), (2, 0, 0, 0), (1, 1, 1, 0)], ne=[(9, 9, 0, 0), (8, 2, 0, 0)]))
    assert text.startswith("**Seeds more than 20 points apart** after the last session")
    assert text.endswith("the lowest first: LEC-Net (paper): 5.00, 7.50, 42.50."), "and not LEC-Net (ne): 25.00, 45.00"
    assert far_apart(section(make_record, ne=[(9, 9, 0, 0), (8, 2, 0, 0)], nothing=[(*BASE, 0, 0)])) == ""


@pytest.mark.parametrize(("with_control", "but"), [(True, " but BaseOnly"), (False, "")])
def test_a_study_whose_variants_all_lose_to_doing_nothing_says_so(with_control: bool, but: str, make_record: Make) -> None:
    control = {"nothing": [(*BASE, 0, 0)] * 2} if with_control else {}
    of = section(make_record, sa=[(4, 4, 2, 2), (4, 4, 2, 3)], ne=[(5, 5, 3, 3), (5, 4, 3, 3)], **control)
    text = all_below_nothing(of, {variant: LABELS[variant] for variant in of.variants})
    assert text.startswith(f"**In the mean, every variant here{but} loses more right answers on base classes than it gains on novel ones**")
    assert "`NE`, ends at 38.75, where keeping its base's right answers alone gives 42.50." in text


def test_one_variant_that_does_not_lose_is_enough(make_record: Make) -> None:
    """As many right as by doing nothing is no loss; and one variant alone is no comparison."""
    of = section(make_record, sa=[(4, 4, 2, 2)], ne=[(5, 5, 4, 3)])
    assert all_below_nothing(of, {variant: LABELS[variant] for variant in of.variants}) == ""
    assert all_below_nothing(of, {"lecnet:paper": "SA"}) == ""


def test_rows_on_another_base_session_than_most_are_named(make_record: Make) -> None:
    """A method of one's own on its own base kind stood among the others without a word of it."""
    plain = {name: [make_record(name, 0)] for name in ("base_only:default", "proto:raw_mean")}
    assert several_bases(Section("quick", "paper", plain)) == ""
    own = make_record("teen:default", 0, base="cosine", base_config={"scale": 16.0})
    text = several_bases(Section("quick", "paper", {**plain, "teen:default": [own]}))
    assert text.startswith("Base session of 2 rows: linear; of others: teen on cosine")
