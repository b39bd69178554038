"""The cells of a page, each worked out by hand."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.store import Store
from benchmarks.report import write_report
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.reading import row_of, table_after, tables, unbroken
from tests.benchmarks.report.conftest import ACCURACY, BASE_ONLY, LAST, LECNET, Save, published, text_of

pytestmark = pytest.mark.usefixtures("published_rows")

# Cells, worked out by hand. t of 95 % is 4.302653 with two degrees of freedom and 12.7062 with one. ----------------------


def test_mean_and_half_width_over_three_seeds(hand: Protocol, story: Path) -> None:
    row = row_of(table_after(text_of(hand, story), ACCURACY), "LEC-Net (paper)")
    assert row["Seeds"] == "3"
    assert row["0"] == "85.00 ± 12.42"  # 80, 85, 90: sd 5; 4.302653 * 5 / sqrt(3)
    assert row["1"] == "63.33 ± 8.28"  # 18, 19, 20 of 30: sd 10/3
    assert row["2"] == "45.00 ± 12.42"  # 16, 18, 20 of 40
    assert row["PD"] == "40.00 ± 0.00"  # 80 - 40, 85 - 45, 90 - 50
    assert row["Average"] == "64.44 ± 11.04"  # 60, 64.4444, 68.8889: sd 40/9


def test_a_missing_seed_is_named_and_the_mean_is_over_the_others(hand: Protocol, story: Path) -> None:
    text = text_of(hand, story)
    row = row_of(table_after(text, ACCURACY), "Ft-CNN (topic)")
    assert row["Seeds"] == "2 of 3, 1 failed"
    assert row["0"] == "82.50 (2 seeds)"  # 80, 85: Student's interval would be ± 31.77
    assert row["1"] == "60.00 (2 seeds)"
    assert row["2"] == "37.50 (2 seeds)"  # 14, 16 of 40
    assert "Ft-CNN (topic) lacks seed 2" in text
    assert "LEC-Net (paper) lacks" not in text
    assert "BaseOnly lacks" not in text


def test_differences_to_published_rows(hand: Protocol, story: Path) -> None:
    rows = table_after(text_of(hand, story), ACCURACY)
    labels = [row["Method"] for row in rows]
    here = labels.index("LEC-Net (paper)")
    assert labels[here + 1 : here + 3] == ["↳ published: LECNET, Paper, Table 1", "↳ measured − published"]
    printed, gap = rows[here + 1], rows[here + 2]
    assert [printed[column] for column in ("0", "1", "2", "Average", "PD")] == ["84.50", "60.00", "50.25", "64.92", "34.25"]
    assert [gap[column] for column in ("0", "1", "2")] == ["+0.50", "+3.33", "-5.25"]
    assert gap["Average"] == "-0.47"  # 64.4444 - 64.9167
    assert gap["PD"] == "+5.75"  # 40 - 34.25
    here = labels.index("Ft-CNN (topic)")
    printed, gap = rows[here + 1], rows[here + 2]
    assert [printed[column] for column in ("0", "1", "2", "Average", "PD")] == ["83.00", "58.50", "–", "–", "–"], "what was not printed"
    assert [gap[column] for column in ("0", "1", "2", "Average", "PD")] == ["-0.50", "+1.50", "–", "–", "–"]


def test_published_rows_stand_beneath_their_own_method_only(hand: Protocol, story: Path) -> None:
    labels = [row["Method"] for row in table_after(text_of(hand, story), ACCURACY)]
    ft_cnn, lecnet = (["↳ published: " + name + ", Paper, Table 1", "↳ measured − published"] for name in ("FT_CNN", "LECNET"))
    assert labels == ["BaseOnly", "Ft-CNN (topic)", *ft_cnn, "LEC-Net (paper)", *lecnet, "LEC-Net (paper, gamma=0.6)"]


def test_after_the_last_session(hand: Protocol, story: Path) -> None:
    rows = table_after(text_of(hand, story), LAST)
    lecnet, base_only = row_of(rows, "LEC-Net (paper)"), row_of(rows, "BaseOnly")
    assert lecnet["Base"] == "65.00 ± 12.42"  # 60, 65, 70
    assert lecnet["Novel"] == "25.00 ± 12.42"  # 20, 25, 30
    assert lecnet["Harmonic mean"] == "36.04 ± 14.91"  # 30, 36.1111, 42: sd 6.00034; p .009 is not enough for twelve tests
    assert lecnet["All"] == lecnet["All, class-count"] == "45.00 ± 12.42"  # equally many images a class
    assert lecnet["Forgetting"] == "13.33 ± 7.17"  # base 20, 20, 20 and session 1's class 10, 10, 0: means 15, 15, 10
    assert row_of(rows, "Ft-CNN (topic)")["Forgetting"].startswith("62.50 (2")  # 80 - 15, 80 - 30; 85 - 20, 90 - 20: means 57.5, 67.5
    assert (lecnet["Images kept"], lecnet["Parameters added"], lecnet["Other numbers kept"]) == ("0", "2,000", "0")
    assert base_only["Novel"] == base_only["Harmonic mean"] == base_only["Forgetting"] == "0.00 ± 0.00"
    assert base_only["Base"] == "85.00 ± 12.42"
    assert base_only["All"] == "42.50 ± 6.21"  # 85 * 2/4: the do-nothing control


def test_gate_log_is_the_mean_over_seeds(hand: Protocol, story: Path) -> None:
    (log,) = [table for table in tables(text_of(hand, story)) if any("own log" in column for column in table[0])]
    by_key = {next(iter(row.values())): row for row in log}
    assert [by_key["tau"][session] for session in "012"] == ["–", "0.400", "0.350"]
    assert [by_key["gate_mean"][session] for session in "012"] == ["–", "0.520", "0.580"]


def test_one_seed_has_no_interval_and_where_nothing_is_wrong_nothing_is_said(hand: Protocol, results: Path, save: Save) -> None:
    save("lecnet:paper", LECNET[1:2])
    text = text_of(hand, results)
    assert not any(words in text for words in ("## Other settings", "## Runs that failed", "## Records that cannot be used", "lacks seed"))
    row = row_of(table_after(text, ACCURACY), "LEC-Net (paper)")
    assert [row[column] for column in ("Seeds", "0", "1", "2", "PD")] == ["1", "85.00", "63.33", "45.00", "40.00"]


def test_accuracy_by_session_of_origin(hand: Protocol, story: Path) -> None:
    """hand.matrix.md: one table a variant, means over its seeds, nothing above the diagonal."""
    text = text_of(hand, story)
    assert "[hand.matrix.md](hand.matrix.md)" in text
    found = tables((story / "hand.matrix.md").read_text(encoding="utf-8"))
    lecnet = next(table for table in found if "LEC-Net (paper): after session" in table[0])
    assert [list(row.values()) for row in lecnet] == [
        ["0", "85.00", "–", "–"],  # 80, 85, 90
        ["1", "75.00", "40.00", "–"],  # 14, 15, 16 of 20; 4 of 10
        ["2", "65.00", "33.33", "16.67"],  # 12, 13, 14 of 20; 3, 3, 4 of 10; 1, 2, 2 of 10
    ]
    assert list(lecnet[0]) == ["LEC-Net (paper): after session", "of 0", "of 1", "of 2"]
    labels = [name.partition(": after")[0] for table in found if ": after" in (name := next(iter(table[0])))]
    assert labels == ["BaseOnly", "Ft-CNN (topic)", "LEC-Net (paper)", "LEC-Net (paper, gamma=0.6)"]


def test_other_papers_definitions(hand: Protocol, story: Path) -> None:
    """Equally many images a class: micro, class-count and macro are one; the harmonic means are not."""
    text_of(hand, story)
    table = tables((story / "hand.matrix.md").read_text(encoding="utf-8"))[0]
    row = row_of(table, "LEC-Net (paper)")
    assert row["Micro"] == row["Class-count"] == row["Macro"] == "45.00 ± 12.42"
    assert row["HM"] == row["HM macro"] == "36.04 ± 14.91"
    assert row["HM old/new"] == "25.25 ± 18.51"  # of 50 and 10, 53.33 and 20, 60 and 20: 16.67, 29.09, 30
    assert row["KR"] == "52.83 ± 6.90"  # 16 of 40 over 16 of 20: 50, 52.94, 55.56


def test_what_test_images_chose_is_marked_in_every_file(
    hand: Protocol, results: Path, save: Save, make_record: MakeRecord, costs: Costs
) -> None:
    """docs/methods.md 10, first trap: `last` and `oracle_test` are never to be mixed up."""
    save("base_only:default", BASE_ONLY)
    assert "the test set chooses nothing" in text_of(hand, results)
    assert "†" not in "".join(path.read_text(encoding="utf-8") for path in write_report(hand, results))
    for seed, correct in enumerate(LECNET):
        Store(results).save(make_record("lecnet:oracle", seed, correct), costs, b"")
    files = [unbroken(path.read_text(encoding="utf-8")) for path in write_report(hand, results)]
    assert len(files) == 3
    for text in files:
        assert "LEC-Net (oracle) †" in text
        assert "BaseOnly †" not in text
    intro = files[0].partition("\n## About this page\n")[2]
    assert "**† Test images chose when each session of this row ended" in intro
    assert "The last epoch is used everywhere" not in intro
    assert row_of(table_after(files[0], ACCURACY), "LEC-Net (oracle) †")["2"] == "45.00 ± 12.42"


def test_who_is_ahead_is_bold(hand: Protocol, results: Path, save: Save) -> None:
    """Nine seeds, of which each three are alike. In base accuracy BaseOnly is ahead by 20 points on each, which no t-test can judge."""
    save("base_only:default", BASE_ONLY * 3)
    save("lecnet:paper", LECNET * 3)
    rows = table_after(text_of(hand, results), LAST)
    assert {row["Method"]: [name for name, cell in row.items() if cell.startswith("**")] for row in rows} == {
        "BaseOnly": [],
        "LEC-Net (paper)": ["Novel", "Harmonic mean", "All"],
    }


def test_a_published_row_stands_beneath_its_presets_only(
    hand: Protocol, results: Path, save: Save, published_rows: list[PublishedRow]
) -> None:
    """And beneath a run whose epoch test images chose, as the paper's did; but not beneath other changes of the command line."""
    published_rows[:] = [published("lecnet", (84.5, 60.0, 50.25)).model_copy(update={"presets": ("paper",)})]
    save("lecnet:paper", LECNET)
    save("lecnet:baseline", LECNET)
    save("lecnet:paper", LECNET, overrides={"selection": "oracle_test"}, config={"selection": "oracle_test"})
    save("lecnet:paper", LECNET, overrides={"gamma": 0.6, "selection": "oracle_test"}, config={"gamma": 0.6, "selection": "oracle_test"})
    labels = [row["Method"] for row in table_after(text_of(hand, results), ACCURACY)]
    beneath = {before for before, label in itertools.pairwise(labels) if label.startswith("↳ published")}
    assert beneath == {"LEC-Net (paper)", "LEC-Net (paper, selection=oracle_test) †"}
    shutil.rmtree(results / "records")
    save("lecnet:baseline", LECNET)
    assert "What the published rows stand on" not in text_of(hand, results)
