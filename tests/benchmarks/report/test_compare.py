"""The comparison table and bold cells, by hand: from records to Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import pytest

from benchmarks.records.schema import Record
from benchmarks.report.cells import intervals
from benchmarks.report.compare import comparison
from benchmarks.report.frame import to_frame
from benchmarks.report.section import Section
from benchmarks.report.tables import accuracy_table, final_table, legend
from benchmarks.system.errors import RecordError
from tests.benchmarks.reading import Row, row_of, tables

Rows = Callable[..., Section]

# Right answers of ten images a class after session 2 (two base classes, two novel ones); one entry a seed.
BASE_ONLY = [(8, 8, 0, 0), (8, 9, 0, 0), (9, 9, 0, 0)]  # 40, 42.5, 45; harmonic mean 0
LECNET = [(6, 6, 3, 1), (7, 6, 3, 2), (7, 7, 4, 2)]  # 40, 45, 50; harmonic mean 30, 36.1111, 42
FT_CNN = [(1, 2, 3, 8), (2, 2, 2, 10), (2, 2, 2, 10)]  # 35, 40, 40
BEST = [(8, 8, 8, 8), (9, 8, 8, 8), (9, 9, 8, 9)]  # 80, 82.5, 87.5


@pytest.fixture
def rows(make_record: Callable[..., Record]) -> Rows:
    """A section from right answers in the last session; before it every row has the same."""

    def make(changes: dict[str, dict[str, object]] | None = None, first_seed: int = 0, **counts: Sequence[tuple[int, ...]]) -> Section:
        variants = {}
        for method, of_seeds in counts.items():
            preset = "default" if method == "base_only" else "paper"
            records = [
                make_record(f"{method}:{preset}", seed, ((8, 8), (8, 8, 0), last)).model_copy(update=(changes or {}).get(method, {}))
                for seed, last in enumerate(of_seeds, first_seed)
            ]
            variants[records[0].identity.variant] = records
        return Section("quick", "paper", variants)

    return make


def compared(section: Section) -> list[Row]:
    (table,) = tables(comparison(section))
    return table


def bold(section: Section) -> set[tuple[str, str]]:
    """Method and column of every bold cell."""
    both = [*tables(accuracy_table(section, []))[0], *tables(final_table(section))[0]]
    return {(row["Method"], column) for row in both for column, cell in row.items() if cell.startswith("**")}


def ten(*counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Ten seeds from a few."""
    return [counts[seed % len(counts)] for seed in range(10)]


# The table --------------------------------------------------------------------------------------------------------------


def test_two_rows_by_hand(rows: Rows) -> None:
    """Accuracy: 0, 2.5, 5 apart: mean 2.5, deviation 2.5, t = sqrt(3) with two degrees of freedom: p = 1 - t / sqrt(2 + t^2) = .2254.

    Effect 1 needs ten seeds (G*Power). Harmonic mean: 30, 36.1111, 42 apart, deviation 6.00034: t = 10.402, p = .0091.
    """
    section = rows(base_only=BASE_ONLY, lecnet=LECNET)
    lecnet, base_only = compared(section)
    assert lecnet == {
        "Method": "LEC-Net (paper)",
        "Test set": "± 15.42",  # 1.96 * sqrt(.45 * .55 / 40)
        "Accuracy − LEC-Net (paper)": "leader",
        "Accuracy − BaseOnly": "+2.50 ± 6.21, p 0.225, 10 seeds",
        "Harmonic mean − LEC-Net (paper)": "leader",
        "Harmonic mean − BaseOnly": "+36.04 ± 14.91, p 0.009",
    }
    assert base_only["Method"] == "BaseOnly"
    assert base_only["Accuracy − LEC-Net (paper)"] == "-2.50 ± 6.21, p 0.225, 10 seeds"
    assert base_only["Harmonic mean − LEC-Net (paper)"] == "-36.04 ± 14.91, p 0.009"
    assert base_only["Accuracy − BaseOnly"] == base_only["Harmonic mean − BaseOnly"] == "–"


def test_the_legend_says_that_intervals_are_not_corrected(rows: Rows) -> None:
    """An interval may leave out 0 where the corrected p does not; the reader is told which of the two counts."""
    assert (
        "corrected for the number of comparisons: if it excludes 0 but p is not below 0.05, the difference is not significant."
        in comparison(rows(base_only=BASE_ONLY, lecnet=LECNET))
    )


def test_a_third_row_costs_the_others(rows: Rows) -> None:
    """Holm: .0091 becomes .0183 for the smaller of two p values."""
    section = rows(base_only=BASE_ONLY, lecnet=LECNET, ft_cnn=LECNET)
    base_only = row_of(compared(section), "BaseOnly")
    assert base_only["Harmonic mean − LEC-Net (paper)"] == "-36.04 ± 14.91, p 0.018"
    copy = row_of(compared(section), "Ft-CNN (paper)")
    assert copy["Accuracy − LEC-Net (paper)"] == "+0.00 ± 0.00, p 1.000, >1000 seeds"


def test_the_best_stands_first_and_each_measure_has_its_own_leader(rows: Rows) -> None:
    section = rows(base_only=BASE_ONLY, ft_cnn=FT_CNN, lecnet=LECNET, proto=[(9, 9, 0, 1), (9, 9, 1, 0), (10, 9, 0, 0)])
    table = compared(section)
    assert [row["Method"] for row in table] == ["Proto (paper)", "LEC-Net (paper)", "BaseOnly", "Ft-CNN (paper)"]
    assert list(table[0])[2:] == [
        "Accuracy − Proto (paper)",
        "Accuracy − BaseOnly",
        "Harmonic mean − LEC-Net (paper)",
        "Harmonic mean − BaseOnly",
    ]


def test_where_base_only_leads_it_is_not_named_twice(rows: Rows) -> None:
    section = rows(base_only=BASE_ONLY, ft_cnn=FT_CNN)
    table = compared(section)
    assert list(table[0])[2:] == ["Accuracy − BaseOnly", "Harmonic mean − Ft-CNN (paper)", "Harmonic mean − BaseOnly"]
    assert row_of(table, "BaseOnly")["Accuracy − BaseOnly"] == "leader"


def test_without_base_only_there_is_the_leader_alone(rows: Rows) -> None:
    table = compared(rows(ft_cnn=FT_CNN, lecnet=LECNET))
    assert list(table[0])[2:] == ["Accuracy − LEC-Net (paper)", "Harmonic mean − LEC-Net (paper)"]


def test_a_constant_distance_is_shown_and_not_tested(rows: Rows) -> None:
    section = rows(base_only=BASE_ONLY, proto=[(8, 8, 0, 4), (8, 9, 4, 0), (9, 9, 0, 4)])
    assert row_of(compared(section), "Proto (paper)")["Accuracy − BaseOnly"] == "+10.00 ± 0.00, p –"


def test_a_clear_lead_has_a_small_p_and_no_seeds(rows: Rows) -> None:
    section = rows(base_only=ten(*BASE_ONLY), proto=ten(*BEST))
    assert row_of(compared(section), "Proto (paper)")["Accuracy − BaseOnly"].endswith(", p <0.001")


def test_what_is_not_ranked_is_no_leader_and_is_named(rows: Rows) -> None:
    changes: dict[str, dict[str, object]] = {"proto": {"selection": "oracle_test"}, "ft_cnn": {"memory_budget": None}}
    section = rows(changes, base_only=BASE_ONLY, lecnet=LECNET, proto=BEST, ft_cnn=BEST)
    assert [row["Method"] for row in compared(section)] == ["LEC-Net (paper)", "BaseOnly"]
    assert comparison(section).endswith("Not ranked: Proto (paper) †, Ft-CNN (paper).")
    assert "Not ranked: rows marked †, and rows that keep all past images." in legend(section)
    assert "Not ranked" not in comparison(rows(base_only=BASE_ONLY, lecnet=LECNET))
    assert "Not ranked" not in legend(rows(base_only=BASE_ONLY, lecnet=LECNET))


def test_a_row_of_other_seeds_is_compared_over_the_common_ones(rows: Rows) -> None:
    """LEC-Net lacks the seed 3 that BaseOnly has; Ft-CNN has two: a dash, and a step of the correction (13 seeds at .025)."""
    section = rows(base_only=[*BASE_ONLY, (1, 1, 0, 0)], lecnet=LECNET)
    assert row_of(compared(section), "LEC-Net (paper)")["Accuracy − BaseOnly"] == "+2.50 ± 6.21, p 0.225, 10 seeds"
    section = rows(base_only=BASE_ONLY, lecnet=LECNET, ft_cnn=FT_CNN[:2])
    assert row_of(compared(section), "Ft-CNN (paper)")["Accuracy − BaseOnly"] == "–"
    assert row_of(compared(section), "LEC-Net (paper)")["Accuracy − BaseOnly"] == "+2.50 ± 6.21, p 0.451, 13 seeds"


def test_where_there_is_no_test_it_says_why(rows: Rows) -> None:
    assert comparison(rows(lecnet=LECNET)) == "No test: fewer than two rows are ranked."
    assert comparison(rows({"lecnet": {"selection": "oracle_test"}}, base_only=BASE_ONLY, lecnet=LECNET)).startswith("No test: fewer")
    assert comparison(rows(base_only=BASE_ONLY[:2], lecnet=LECNET[:2])) == "No test: no two ranked rows share 3 seeds."
    assert comparison(rows(base_only=BASE_ONLY[:1], lecnet=LECNET)) == "No test: no two ranked rows share 3 seeds."


def test_one_session_has_no_harmonic_mean_to_compare(make_record: Callable[..., Record]) -> None:
    shape = {"base": 2, "way": 1, "count": 0, "shots": 5}
    variants = {}
    for variant, of_seeds in (("base_only:default", [(8, 8), (8, 9), (9, 9)]), ("proto:raw", [(9, 9), (9, 8), (9, 8)])):
        variants[variant] = [make_record(variant, seed, (right,), ({},), sessions=shape) for seed, right in enumerate(of_seeds)]
    section = Section("quick", "paper", variants)
    assert list(compared(section)[0])[2:] == ["Accuracy − Proto (raw)", "Accuracy − BaseOnly"]
    assert row_of(tables(final_table(section))[0], "BaseOnly")["Novel"] == "–"


# Bold -------------------------------------------------------------------------------------------------------------------


def test_bold_is_who_is_ahead_of_every_other(rows: Rows) -> None:
    """Ahead after session 2 and on average; before it all rows are one."""
    section = rows(base_only=ten(*BASE_ONLY), lecnet=ten(*LECNET), proto=ten(*BEST))
    assert bold(section) == {("Proto (paper)", column) for column in ("2", "Average", "Novel", "Harmonic mean", "All")}
    assert row_of(tables(accuracy_table(section, []))[0], "Proto (paper)")["2"].strip("*").startswith("83.00 ± ")


def test_nothing_is_bold_inside_a_tie(rows: Rows) -> None:
    section = rows(base_only=ten(*BASE_ONLY), ft_cnn=ten(*BEST), proto=ten(*BEST[1:], BEST[0]))
    assert bold(section) == set()


def test_what_is_not_ranked_neither_is_bold_nor_keeps_another_from_it(rows: Rows) -> None:
    perfect = ten((10, 10, 10, 10), (10, 10, 10, 9))
    changes: dict[str, dict[str, object]] = {"lecnet": {"selection": "oracle_test"}, "ft_cnn": {"memory_budget": None}}
    section = rows(changes, base_only=ten(*BASE_ONLY), proto=ten(*BEST), lecnet=perfect, ft_cnn=perfect)
    assert {method for method, _ in bold(section)} == {"Proto (paper)"}


def test_one_seed_is_never_bold(rows: Rows) -> None:
    section = rows(base_only=BASE_ONLY[:1], proto=BEST[:1])
    assert bold(section) == set()
    assert legend(section) == "One seed: no ±. Nothing is bold: a test needs 3 seeds."


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ((10, 10), "±: 95 % interval by bootstrap over seeds. Bold:"),
        ((3, 3), "±: 95 % interval by Student-t for rows of fewer than 6 seeds. Bold:"),
        ((6, 5), "±: 95 % interval by bootstrap over seeds; Student-t for rows of fewer than 6 seeds. Bold:"),
        ((6, 1), "±: 95 % interval by bootstrap over seeds. Bold:"),
        ((2, 1), "Fewer than 3 seeds: no ±. Nothing is bold:"),
    ],
)
def test_the_legend_says_which_interval(seeds: tuple[int, int], text: str, rows: Rows) -> None:
    assert legend(rows(base_only=ten(*BASE_ONLY)[: seeds[0]], lecnet=ten(*LECNET)[: seeds[1]])).startswith(text)


# Lies are refused -------------------------------------------------------------------------------------------------------


def test_a_seed_that_stands_twice_is_refused_by_name(make_record: Callable[..., Record]) -> None:
    records = [make_record("lecnet:paper", seed) for seed in (0, 1, 3, 1)]
    with pytest.raises(RecordError, match=r"lecnet:paper seed 1: more than one record"):
        to_frame(records)
    with pytest.raises(RecordError, match=r"lecnet:paper seed 1"):
        accuracy_table(Section("quick", "paper", {"lecnet:paper": records}), [])


def test_a_column_with_a_hole_is_refused_by_name() -> None:
    """A dash stands for what no seed has; a hole would be left out of a mean unseen."""
    block = pd.DataFrame({"all": [1.0, 2.0, 3.0], "none": [float("nan")] * 3}, index=[0, 1, 5])
    assert intervals("lecnet:paper", block) == ["2.00 ± 2.48", "–"]  # 4.302653 / sqrt(3)
    with pytest.raises(RecordError, match="lecnet:paper seed 5: novel is not a number"):
        intervals("lecnet:paper", block.assign(novel=[1.0, 2.0, float("nan")]))


def test_the_wider_side_is_printed() -> None:
    """One seed far below the others: the lower end is the farther one, and ± says so."""
    values = pd.DataFrame({"low": [60.0] * 9 + [30.0], "high": [60.0] * 9 + [90.0]})
    low, high = intervals("der:buffer", values)
    assert low.startswith("57.00 ± ")
    assert low.partition("±")[2] == high.partition("±")[2], "mirrored"
    assert float(low.partition("±")[2]) > 2.262157 * 3.0, "Student's, with a standard error of 3, falls short below"
