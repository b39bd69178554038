"""Who is ahead: by seed, over common seeds, corrected, and never inside a tie."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.metrics.statistics import ALPHA, Scores, holm
from benchmarks.records.schema import Record
from benchmarks.report.ranking import Column, against, ahead_of_all, few_seeds, is_ranked, leader, scores_of, seeds_needed

# Ten seeds; the noise is common to all rows, as one base model is.
NOISE = [0.0, 3.1, -2.2, 1.4, -0.7, 2.8, -3.0, 0.9, -1.6, 2.1]
OWN = [0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.4, -0.3, 0.1]  # a row's own: a tenth of it


def row(mean: float, own: float = 1.0, seeds: range = range(10)) -> Scores:
    return {seed: mean + NOISE[seed] + own * OWN[seed] for seed in seeds}


def bold(rows: Column) -> str | None:
    """The bold row of a table of this one column."""
    return ahead_of_all({"column": rows}).get("column")


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Scores]:
    """Two to six rows over the same three to eight seeds: near to each other, apart, and far apart."""
    seeds = draw(st.integers(3, 8))
    rows: dict[str, Scores] = {}
    for number in range(draw(st.integers(2, 6))):
        mean = draw(st.sampled_from([50.0, 50.5, 53.0, 80.0]))
        rows[f"row {number}"] = {seed: mean + draw(st.integers(-4, 4)) / 4 for seed in range(seeds)}
    return rows


def test_the_leader_has_the_highest_mean_among_rows_that_can_be_tested() -> None:
    rows = {"low": row(50), "high": row(60), "two seeds": row(70, seeds=range(2))}
    assert leader(rows) == "high"
    assert leader({"two seeds": rows["two seeds"]}) is None
    assert leader({"none": {}, "low": rows["low"]}) == "low"
    assert leader({}) is None


def test_rows_are_paired_by_seed_whatever_their_order() -> None:
    """The common noise of three points hides a lead of one from all but a paired test."""
    first, second = row(51), row(50, own=-1.0)
    backwards = dict(sorted(second.items(), reverse=True))
    (pair,) = against("first", {"first": first, "second": backwards}).values()
    assert pair.differences == pytest.approx([-1 - 2 * own for own in OWN])
    assert pair.separated
    assert stats.ttest_ind(list(first.values()), list(second.values())).pvalue > 0.3
    assert bold({"first": first, "second": backwards}) == "first"


def test_only_common_seeds_are_compared() -> None:
    """Seeds 5 to 9 were lucky for everybody; the row that has no others looks best, and is neither the leader nor bold."""
    lucky: Scores = {seed: value + (40 if seed >= 5 else 0) for seed, value in row(51).items()}
    late: Scores = {seed: lucky[seed] - 1 + OWN[seed] for seed in range(5, 10)}
    rows = {"all seeds": lucky, "late": late}
    assert leader(rows) == "all seeds"
    (pair,) = against("all seeds", rows).values()
    assert pair.differences == pytest.approx([OWN[seed] - 1 for seed in range(5, 10)])
    assert pair.separated
    assert bold(rows) is None, "a row beside it prints a higher mean, of other seeds"


def test_a_row_of_three_seeds_does_not_choose_the_leader_of_ten() -> None:
    """On the three seeds that it has, the worse of two rows of ten was lucky."""
    best = row(50)
    lucky: Scores = {seed: value - 1 if seed < 3 else value + 2 for seed, value in best.items()}
    rows = {"lucky": {seed: 2 * best[seed] - value for seed, value in lucky.items()}, "best": best, "short": row(41, seeds=range(3))}
    assert all(rows["lucky"][seed] > best[seed] for seed in range(3))
    assert leader(rows) == leader({name: rows[name] for name in ("lucky", "best")}) == "best"


def test_where_every_row_is_behind_some_other_the_least_far_behind_leads() -> None:
    def of(**by_seed: float) -> Scores:
        return {int(seed[1:]): value for seed, value in by_seed.items()}

    one = of(s0=1, s1=1, s2=1, s6=0, s7=0, s8=0)
    two = of(s0=0, s1=0, s2=0, s3=3, s4=3, s5=3)
    three = of(s3=0, s4=0, s5=0, s6=2, s7=2, s8=2)
    assert leader({"one": one, "two": two, "three": three}) == "two", "behind by 1, the others by 2 and 3"


def test_p_is_corrected_for_the_number_of_rows() -> None:
    """Each of five lies behind with a raw p of .01 to .04: none is separated."""
    shape = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    rows: dict[str, Scores] = {"leader": dict.fromkeys(range(5), 50.0)}
    for number in range(5):
        rows[f"row {number}"] = dict(enumerate((50 - (1.3 + number / 10) + shape * 0.95).tolist()))
    pairs = against("leader", rows)
    assert all(0.01 < pair.raw < 0.05 for pair in pairs.values())
    assert [pair.p for pair in pairs.values()] == pytest.approx(holm([pair.raw for pair in pairs.values()]))
    assert not any(pair.separated for pair in pairs.values())
    assert bold(rows) is None
    assert bold({name: rows[name] for name in ("leader", "row 0")}) == "leader", "alone, it would be"


def test_a_table_is_one_family() -> None:
    """A lead with a raw p of .037 is bold alone, or beside a column with a clearer lead, but not beside one without."""
    shape = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    gaps = {"lead": 1.3 + shape * 0.95, "clear": 20 + shape, "none": 0.1 + shape}
    table = {name: {"first": dict.fromkeys(range(5), 50.0), "second": dict(enumerate((50 - gap).tolist()))} for name, gap in gaps.items()}
    assert against("first", table["lead"])["second"].raw == pytest.approx(0.0377, abs=1e-4)
    bold_in = [set(ahead_of_all({name: table[name] for name in names})) for names in (["lead"], ["lead", "clear"], ["lead", "none"])]
    assert bold_in == [{"lead"}, {"lead", "clear"}, set()]


def test_of_tables_without_a_difference_one_in_twenty_has_something_bold() -> None:
    """Column by column it would be two in five."""
    draw, names = np.random.default_rng(0), [str(number) for number in range(10)]
    found = []
    for _ in range(300):
        numbers = draw.normal(size=(len(names), 2, 10)).tolist()
        table = {name: {"a": dict(enumerate(a)), "b": dict(enumerate(b))} for name, (a, b) in zip(names, numbers, strict=True)}
        found.append(bool(ahead_of_all(table)))
    assert 0.01 < np.mean(found) < 0.09


def test_inside_a_tie_nobody_is_ahead() -> None:
    tied = {"first": row(60.05), "second": row(60, own=-1.0)}
    assert bold(tied) is None
    assert bold({**tied, "far behind": row(40, own=0.5)}) is None
    assert bold({"first": tied["first"], "far behind": row(40, own=0.5)}) == "first"
    assert bold({"first": row(60), "its copy": row(60), "far behind": row(40, own=0.5)}) is None


def test_nobody_is_ahead_of_nobody() -> None:
    assert bold({"alone": row(60)}) is None
    assert bold({}) is None
    assert bold({"first": {}, "second": {}}) is None


def test_who_cannot_be_tested_is_not_beaten() -> None:
    rows = {"first": row(60), "far behind": row(40, own=0.5)}
    assert bold(rows) == "first"
    assert bold({**rows, "constant distance": {seed: value - 5 for seed, value in row(60).items()}}) is None
    one_seed = {name: {0: values[0]} for name, values in rows.items()}
    assert bold(one_seed) is None


def test_a_row_of_few_seeds_takes_bold_from_the_leader_only_where_it_looks_better() -> None:
    rows = {"first": row(60), "far behind": row(40, own=0.5)}
    assert bold({**rows, "two seeds": row(10, seeds=range(2))}) == "first"
    assert bold({**rows, "two seeds": row(90, seeds=range(2))}) is None
    assert bold({"first": row(60), "two seeds": row(10, seeds=range(2))}) is None, "ahead of nobody that was tested"
    assert few_seeds({**rows, "two seeds": row(90, seeds=range(2)), "none": {}}) == ["two seeds"]


def test_a_test_that_could_not_be_made_counts_in_the_correction() -> None:
    rows = {"first": row(60), "behind": row(59.8, own=0.0)}
    pairs = against("first", {**rows, "two seeds": row(10, seeds=range(2))})
    assert pairs["behind"].p == pytest.approx(2 * pairs["behind"].raw)
    assert math.isnan(pairs["two seeds"].p)
    assert not pairs["two seeds"].separated


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 4"):
        against("first", {"first": row(60), "second": {**row(50), 4: float("nan")}})


def test_a_column_without_numbers_has_no_scores() -> None:
    assert scores_of(pd.Series([1.5, 2.5], index=[3, 4])) == {3: 1.5, 4: 2.5}
    assert scores_of(pd.Series([float("nan")] * 2, index=[3, 4])) == {}
    assert len(scores_of(pd.Series([float("nan"), 1.0], index=[3, 4]))) == 2, "to be refused by name, not dropped"


@given(columns())
def test_seeds_needed_are_more_than_there_are(rows: dict[str, Scores]) -> None:
    """Named for tested pairs that are not separated, and for no others; the larger p needs at least as many."""
    pairs = against("row 0", rows)
    needed = seeds_needed(pairs)
    assert needed.keys() == {name for name, pair in pairs.items() if pair.p >= ALPHA}
    assert all(len(pairs[name].differences) < seeds <= 1_001 for name, seeds in needed.items())
    by_p = sorted(needed, key=lambda name: (pairs[name].raw, needed[name]))
    assert [needed[name] for name in by_p] == sorted(needed.values())


@given(columns())
def test_the_one_ahead_is_separated_from_every_other(rows: dict[str, Scores]) -> None:
    """And Bonferroni's correction, which is no milder than Holm's, never separates the best row where nobody is ahead."""
    winner, best = bold(rows), leader(rows)
    assert best is not None
    assert winner in (None, best)
    others = [values for name, values in rows.items() if name != best]
    gaps = [[rows[best][seed] - values[seed] for seed in values] for values in others]
    p = [float(stats.ttest_1samp(gap, 0).pvalue) if np.ptp(gap) else math.nan for gap in gaps]
    if winner is None:
        assert not all(raw * len(p) < ALPHA for raw in p)
    else:
        assert all(np.mean(gap) > 0 for gap in gaps)
        assert all(raw < ALPHA for raw in p)
        assert min(p) * len(p) < ALPHA


def test_seeds_needed_by_hand() -> None:
    """Effects 1/2 and 2 at Holm's steps: .05 / 2 for the smaller p, .05 for the larger, and G*Power says 34 for that one."""
    shape = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0])  # standard deviation 1
    rows: dict[str, Scores] = {"leader": dict.fromkeys(range(7), 50.0)}
    for name, effect in (("near", 0.5), ("far", 2.0)):
        rows[name] = dict(enumerate((50 - effect + shape).tolist()))
    pairs = against("leader", rows)
    assert pairs["near"].effect == pytest.approx(-0.5)
    assert seeds_needed(pairs) == {"near": 34}


@pytest.mark.parametrize(
    ("change", "ranked"),
    [({}, True), ({"memory_budget": 2000}, True), ({"memory_budget": None}, False), ({"selection": "oracle_test"}, False)],
    ids=["plain", "with exemplars", "keeps all images", "chosen by test images"],
)
def test_upper_bounds_and_what_test_images_chose_are_not_ranked(
    change: dict[str, object], ranked: bool, make_record: Callable[..., Record]
) -> None:
    assert is_ranked(make_record().model_copy(update=change)) is ranked
