"""From records made by hand to Markdown: byte for byte against a golden file, and cell by cell against sums done by hand.

After a change of the layout that is meant, look at the `git diff` of what `write_report` gives in `story` and store it as the golden file.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.stated import stated_version
from benchmarks.records.store import Store
from benchmarks.report import write, write_report
from benchmarks.report.write import as_text
from benchmarks.system.errors import RecordError
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import CONFIG, SETTINGS
from tests.benchmarks.reading import row_of, table_after, tables, unbroken

GOLDEN = Path(__file__).parents[2] / "data" / "golden_tiny.md"
ACCURACY = "### Accuracy after each session"
LAST = "### After the last session"
OTHER = "\n## Other settings\n"

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]
Save = Callable[..., None]

# Right answers of ten images a class: sessions 0 (two base classes), 1 and 2 (one class each); one entry a seed.
BASE_ONLY = [((8, 8), (8, 8, 0), (8, 8, 0, 0)), ((8, 9), (8, 9, 0), (8, 9, 0, 0)), ((9, 9), (9, 9, 0), (9, 9, 0, 0))]
FT_CNN = [((8, 8), (5, 5, 8), (1, 2, 3, 8)), ((8, 9), (4, 5, 9), (2, 2, 2, 10))]
LECNET = [((8, 8), (7, 7, 4), (6, 6, 3, 1)), ((8, 9), (8, 7, 4), (7, 6, 3, 2)), ((9, 9), (8, 8, 4), (7, 7, 4, 2))]
GATES: list[tuple[dict[str, float], ...]] = [
    ({}, {"gate_mean": 0.50, "tau": 0.5}, {"gate_mean": 0.55, "tau": 0.25}),
    ({}, {"gate_mean": 0.52, "tau": 0.4}, {"gate_mean": 0.57, "tau": 0.35}),
    ({}, {"gate_mean": 0.54, "tau": 0.3}, {"gate_mean": 0.62, "tau": 0.45}),
]


def published(method: str, accuracy: Sequence[float | None]) -> PublishedRow:
    facts = {"source": "Paper, Table 1", "backbone": "conv2", "split": "canonical", "seeds": "10", "selection": "test", "note": "made up"}
    return PublishedRow.model_validate({"method": method, "label": method.upper(), "accuracy": tuple(accuracy), **facts})


@pytest.fixture(autouse=True)
def published_rows(monkeypatch: pytest.MonkeyPatch) -> list[PublishedRow]:
    """What papers print; a test may add to it. The third figure of Ft-CNN was not printed."""
    rows = [published("ft_cnn", (83.0, 58.5, None)), published("lecnet", (84.5, 60.0, 50.25)), published("icarl", (1.0, 2.0, 3.0))]
    monkeypatch.setattr(write, "printed_beside", lambda own: tuple(rows))
    return rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def save(results: Path, make_record: MakeRecord, costs: Costs) -> Save:
    """Save one record a seed, 0 upwards."""

    def save_all(variant: str, counts: Sequence[Any], logs: Sequence[Any] | None = None, first_seed: int = 0, **changes: Any) -> None:
        for number, correct in enumerate(counts):
            kwargs = {"logs": logs[number]} if logs else {}
            Store(results).save(make_record(variant, first_seed + number, correct, **kwargs, **changes), costs, b"")

    return save_all


@pytest.fixture
def story(results: Path, save: Save, make_identity: MakeIdentity) -> Path:
    """Two methods and BaseOnly, three seeds; one run failed, one record damaged, one variant from the command line."""
    version = stated_version("lecnet")
    save("lecnet:paper", LECNET, GATES, parameters_added=1000, version=version)
    save("lecnet:paper", LECNET, overrides={"gamma": 0.6}, config={"gamma": 0.6}, parameters_added=1000, version=version)
    save("ft_cnn:topic", FT_CNN)
    save("base_only:default", BASE_ONLY)
    store = Store(results)
    damaged = make_identity("lecnet:paper", 2, overrides={"gamma": 0.6}, config={"gamma": 0.6}, version=version)
    store.path(damaged, ".json").write_bytes(b"")
    store.save_failure(make_identity("ft_cnn:topic", 2), Failure("ScoreError: session 1: scores are NaN", "Traceback"))
    return results


def text_of(protocol: Protocol, results: Path) -> str:
    """The page, each paragraph and each bullet in one line."""
    return unbroken(write_report(protocol, results)[0].read_text(encoding="utf-8"))


def test_what_others_wrote_stays_text() -> None:
    """A method's error may hold HTML, a link or code; a variant's brackets stay as they are."""
    said = "crash:default[lr=0.1] seed 0 (a.b): RuntimeError: <img src=x onerror=alert(1)> `x` [a](http://b)"
    escaped = r"crash:default[lr=0.1] seed 0 (a.b): RuntimeError: \<img src=x onerror=alert(1)> \`x\` \[a](http://b)"
    assert as_text([said]) == [escaped]


def test_golden(hand: Protocol, story: Path) -> None:
    assert write_report(hand, story)[0].read_bytes() == GOLDEN.read_bytes()


def test_seeds_that_change_nothing_are_said_to_be_one_run(
    hand: Protocol, results: Path, save: Save, make_record: MakeRecord, costs: Costs
) -> None:
    """Other predictions of one seed make them several."""
    for seed in range(3):
        same = make_record("base_only:default", seed, BASE_ONLY[0]).model_copy(update={"predictions_sha256": "0" * 64})
        Store(results).save(same, costs, b"")
    save("ft_cnn:topic", FT_CNN)
    assert "**All seeds gave the same predictions**: BaseOnly. Order and shots are fixed" in text_of(hand, results)
    save("base_only:default", BASE_ONLY)
    assert "All seeds gave" not in text_of(hand, results)


def test_equal_images_that_a_run_met_are_told(hand: Protocol, results: Path, make_record: MakeRecord, costs: Costs) -> None:
    line = "3 training images have exactly the pixels of a test image; used as they are"
    for seed, equal in enumerate([(line,), (), (line,)]):
        Store(results).save(make_record("lecnet:paper", seed, LECNET[seed]), costs.model_copy(update={"equal_pictures": equal}), b"")
    assert text_of(hand, results).count(f"- Equal images: {line}.") == 1


def test_how_many_records_can_be_counted_again(hand: Protocol, results: Path, save: Save, make_record: MakeRecord, costs: Costs) -> None:
    """Those with their own predictions beside them: not those with none, and not those with another run's."""
    save("base_only:default", BASE_ONLY)
    for seed, kept in enumerate([b"of this run", b"of another"]):
        record = make_record("lecnet:paper", seed, LECNET[seed])
        own = record.model_copy(update={"predictions_sha256": hashlib.sha256(b"of this run").hexdigest()})
        Store(results).save(own, costs, kept)
    Store(results).path(make_record("base_only:default").identity, ".npz").unlink()
    assert "- When this page was written, 1 of these 5 records had their predictions beside them" in text_of(hand, results)
    assert "; the other 4 carry counts alone" in text_of(hand, results)


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


# Nothing is averaged that must not be ----------------------------------------------------------------------------------


def test_failed_and_damaged_runs_are_named(hand: Protocol, story: Path) -> None:
    text = text_of(hand, story)
    failed = text[text.index("## Runs that failed") : text.index("## Records that cannot be used")]
    assert "ft_cnn:topic seed 2" in failed
    assert "scores are NaN" in failed
    unusable = text[text.index("## Records that cannot be used") :]
    assert "hand/quick.paper/lecnet-paper-gamma=0.6-" in unusable
    assert "seed02.json" in unusable
    row = row_of(table_after(text, ACCURACY), "LEC-Net (paper, gamma=0.6)")
    assert row["Seeds"] == "2 of 3"
    assert row["2"] == "42.50 (2 seeds)"  # 40, 45; with the damaged one it would be 45.00
    assert str(story) not in text, "the same records must give the same bytes wherever they lie"


def test_a_variant_of_which_all_runs_failed_has_a_row_of_failed_cells(
    hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity
) -> None:
    save("base_only:default", BASE_ONLY)
    store = Store(results)
    for seed in (0, 2):
        store.save_failure(make_identity("lecnet:paper", seed, overrides={"gamma": 0.6}), Failure("ValueError: broken", ""))
    text = text_of(hand, results)
    row = row_of(table_after(text, ACCURACY), "`lecnet:paper[gamma=0.6]`")
    assert row.pop("Seeds") == "0 of 3, 2 failed"
    assert set(list(row.values())[1:]) == {"failed"}
    row = row_of(table_after(text, LAST), "`lecnet:paper[gamma=0.6]`")
    assert set(list(row.values())[1:]) == {"failed"}
    assert "No test: fewer than two rows are ranked." in text
    assert text.count("ValueError: broken") == 2, "each is listed beneath"
    assert row_of(table_after(text, ACCURACY), "BaseOnly")["Seeds"] == "3"


def test_a_failure_counts_in_its_own_recipe_and_split_only(hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity) -> None:
    for recipe in ("quick", "slow"):
        save("base_only:default", BASE_ONLY, recipe=recipe)
        save("lecnet:paper", LECNET[:2], recipe=recipe)
    Store(results).save_failure(make_identity("lecnet:paper", 2, recipe="slow"), Failure("ValueError: broken", ""))
    quick, slow = text_of(hand, results).split("\n## ")[1:3]
    assert row_of(table_after(quick, ACCURACY), "LEC-Net (paper)")["Seeds"] == "2 of 3"
    assert row_of(table_after(slow, ACCURACY), "LEC-Net (paper)")["Seeds"] == "2 of 3, 1 failed"


def test_a_failure_whose_note_is_damaged_is_named_by_its_folder(
    hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity
) -> None:
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:1])
    for variant, seed in (("lecnet:paper", 1), ("lecnet:paper", 7), ("ft_cnn:topic", 1)):
        identity = make_identity(variant, seed)
        Store(results).save_failure(identity, Failure("ValueError: broken", ""))
        Store(results).path(identity, ".failed.json").write_bytes(b"{")
    rows = [row for row in table_after(text_of(hand, results), ACCURACY) if not row["Method"].startswith("↳")]
    folders = [make_identity(variant).stem.parent.name for variant in ("ft_cnn:topic", "lecnet:paper")]
    assert {row["Method"]: row["Seeds"] for row in rows} == {
        "BaseOnly": "3 of 4",  # seed 7 was tried, too
        "LEC-Net (paper)": "1 of 4",
        f"`{folders[0]}`": "0 of 4, 1 failed",
        f"`{folders[1]}`": "0 of 4, 2 failed",
    }


def test_failures_alone_are_listed(hand: Protocol, results: Path, make_identity: MakeIdentity) -> None:
    Store(results).save_failure(make_identity("lecnet:paper", 2), Failure("ValueError: broken", ""))
    text = text_of(hand, results)
    assert tables(text) == []
    assert "- lecnet:paper seed 2 (quick.paper): ValueError: broken" in text


# Two settings of one variant: (the third seed's, what heads the one that does not stand in the table, seeds in the table and beside it)
SETTINGS_OF_ONE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "most seeds": ({"config": {**CONFIG, "lr": 0.5}}, "lr 0.5 instead of 0.01", "2 of 3", "1"),
    "latest version": ({"version": 2}, "version 1 instead of 2", "1 of 3", "2"),
    "another base": ({"base": "projected"}, "base projected instead of linear", "2 of 3", "1"),
    "as the file says": ({"base_settings": {"lr": 0.2}}, "base lr 0.2 instead of nothing", "2 of 3", "1"),
}


@pytest.mark.parametrize(("changed", "words", "in_table", "beside"), SETTINGS_OF_ONE.values(), ids=SETTINGS_OF_ONE)
def test_seeds_of_different_settings_are_not_averaged(
    changed: dict[str, Any], words: str, in_table: str, beside: str, hand: Protocol, results: Path, save: Save
) -> None:
    """One setting stands in the table, the other in a section that says what differs."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **changed)
    text = text_of(hand, results)
    current, other = text.split(OTHER)
    assert row_of(table_after(current, ACCURACY), "LEC-Net (paper)")["Seeds"] == in_table
    assert f"### Recipe `quick`, split `paper`, LEC-Net (paper) with {words}\n" in other
    (row,) = tables(other)[0]
    assert (row["Method"], row["Seeds"]) == ("LEC-Net (paper)", beside)
    assert "## Records that cannot be used" not in text


def test_what_the_recipe_says_now_stands_in_the_table(hand: Protocol, results: Path, save: Save) -> None:
    """One seed of it goes before three of what the recipe said once; nothing of these is lost."""
    quick = hand.recipes["quick"].model_copy(update={"methods": {"lecnet": {"lr": 0.5}}})
    protocol = hand.model_copy(update={"recipes": {**hand.recipes, "quick": quick}})
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], config={**CONFIG, "lr": 0.5})
    current, other = text_of(protocol, results).split(OTHER)
    assert row_of(table_after(current, ACCURACY), "LEC-Net (paper)")["2"] == "40.00"
    assert "LEC-Net (paper) with lr 0.01 instead of 0.5" in other
    assert tables(other)[0][0]["2"] == "45.00 ± 12.42"


# What all rows of a table have in common, changed, and how the heading of the others names it
MEASURED_ON: dict[str, tuple[Any, str]] = {
    "suite": (2, "version 2 of the suite instead of 1"),
    "recipe_settings": ({"epochs": 200, "lr": 0.1}, "recipe epochs 200 instead of 2"),
    "data": (SETTINGS["data"] | {"size": 4}, "data size 4 instead of 8"),
    "augment": ({"pad": 4}, "augment pad 4 instead of 1"),
    "backbone": ({"name": "conv4", "pretrained": None}, "backbone name conv4 instead of conv2"),
    "sessions": (SETTINGS["sessions"] | {"shots": 1}, "sessions shots 1 instead of 5"),
    "recipe": ("gone", "a recipe that the protocol no longer has (epochs 2, lr 0.1)"),
    "split": ("canonical", "a split that the protocol no longer has"),
}


@pytest.mark.parametrize("field", MEASURED_ON)
def test_what_was_measured_on_different_things_never_shares_a_table(field: str, hand: Protocol, results: Path, save: Save) -> None:
    """A protocol or recipe was edited, and not everything was run again: no mean and no table holds both, and all is shown."""
    value, words = MEASURED_ON[field]
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **{field: value})
    save("proto:raw_mean", LECNET, **{field: value})
    current, other = text_of(hand, results).split(OTHER)
    rows = {row["Method"]: row["Seeds"] for row in table_after(current, ACCURACY) if not row["Method"].startswith("↳")}
    assert rows == {"BaseOnly": "3", "LEC-Net (paper)": "2 of 3"}
    assert other.count("\n### ") == 1
    assert f", with {words}\n" in other
    assert {row["Method"]: row["Seeds"] for row in tables(other)[0]} == {"LEC-Net (paper)": "1 of 3", "Proto (raw_mean)": "3"}


def test_a_base_of_its_own_settings_stays_in_the_section_where_the_recipe_says_so(hand: Protocol, results: Path, save: Save) -> None:
    """SI trains its base at another rate: the rows are still to be compared."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET, base="path", base_settings={"lr": 0.2})
    quick = hand.recipes["quick"].model_copy(update={"bases": {"path": {"lr": 0.2}}})
    text = text_of(hand.model_copy(update={"recipes": {**hand.recipes, "quick": quick}}), results)
    assert {"BaseOnly", "LEC-Net (paper)"} <= {row["Method"] for row in table_after(text, ACCURACY)}
    assert "LEC-Net (paper) starts from a base trained with lr 0.2." in text
    current, other = text_of(hand, results).split(OTHER)
    assert "LEC-Net (paper)" not in {row["Method"] for row in table_after(current, ACCURACY)}
    assert "LEC-Net (paper) with base lr 0.2 instead of 0.1" in other


def test_every_backbone_of_a_page_is_said_once_with_its_size(hand: Protocol, results: Path, save: Save) -> None:
    """Each section stands on one, which it names; rows on another are of other settings."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], backbone={"name": "resnet12", "pretrained": None})
    lines = text_of(hand, results).splitlines()
    assert lines[0] == "# By hand"
    about = lines[lines.index("## About this page") :]
    assert about[2] == "Backbones, without heads: conv2 (64-d, 37,696 parameters), resnet12 (640-d, 12,423,040 parameters)."
    assert [text for text in lines if text.startswith("- Backbone")] == [
        "- Backbone: conv2, from scratch.",
        "- Backbone: resnet12, from scratch.",
    ]


def test_what_a_base_leaves_at_its_default_since_it_can_be_set_is_not_said(hand: Protocol, results: Path, save: Save) -> None:
    """Optimiser and ramp came later than the first pages."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET, recipe_settings={"epochs": 2, "lr": 0.1, "optimizer": "adam", "schedule": "cosine", "floor": 0.01})
    before, other = (re.findall("^- Base session: .*", text, re.MULTILINE) for text in text_of(hand, results).split(OTHER))
    start = "- Base session: batch 128, epochs 2, "
    assert before == [
        f"{start}gamma 0.1, head_gain 1.0, lr 0.1, milestones [], momentum 0.9, nesterov True, precision fp32, "
        "schedule step, warmup 0.2, weight_decay 0.0005."
    ]
    assert other == [
        f"{start}floor 0.01, gamma 0.1, head_gain 1.0, lr 0.1, milestones [], momentum 0.9, nesterov True, optimizer adam, precision fp32, "
        "schedule cosine, warmup 0.2, weight_decay 0.0005."
    ]


def test_records_of_fewer_sessions_break_nothing(hand: Protocol, results: Path, save: Save) -> None:
    """The protocol had one session when LEC-Net was run."""
    save("base_only:default", BASE_ONLY)
    short = [correct[:2] for correct in LECNET]
    save("lecnet:paper", short, [({}, {})] * 3, sessions={"base": 2, "way": 1, "count": 1, "shots": 5})
    last = [row.get("2") for table in tables(text_of(hand, results)) for row in table if row.get("Method") == "BaseOnly"]
    assert "42.50 ± 6.21" in last


def test_two_splits_and_two_recipes_never_share_a_table(hand: Protocol, results: Path, save: Save) -> None:
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], split="canonical-order")
    save("lecnet:paper", LECNET[1:2], recipe="slow")
    text = text_of(hand, results)
    *sections, _about = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "Recipe `quick`, split `paper`",  # the protocol's own order
        "Recipe `quick`, split `canonical-order`",
        "Recipe `slow`, split `paper`",
    ]
    last_session = [row_of(table_after(section, ACCURACY), "LEC-Net (paper)")["2"] for section in sections]
    assert last_session == ["45.00 ± 12.42", "40.00", "45.00"]
    assert "BaseOnly" not in sections[1]
    assert "BaseOnly" not in sections[2]
    assert "lacks seed" not in text, "holes are looked for inside a section"


# The report needs the records alone ------------------------------------------------------------------------------------


def test_the_same_bytes_twice_and_from_the_records_alone(hand: Protocol, story: Path) -> None:
    first = text_of(hand, story)
    assert text_of(hand, story) == first
    for path in (story / "records").rglob("*"):
        if path.name.endswith((".npz", ".cost.json")):
            path.unlink()
    assert text_of(hand, story) == first
    assert write_report(hand, story) == [story / "hand.md", story / "hand.matrix.md"], "no costs, no table of costs"


def test_the_order_in_which_runs_ended_changes_nothing(hand: Protocol, tmp_path: Path, make_record: MakeRecord, costs: Costs) -> None:
    made = [make_record("lecnet:paper", seed, LECNET[seed], GATES[seed]) for seed in range(3)]
    made += [make_record("base_only:default", seed, BASE_ONLY[seed]) for seed in range(3)]
    texts = []
    for name, order in (("one", made), ("two", made[::-1])):
        for record in order:
            Store(tmp_path / name).save(record, costs, b"")
        texts.append(text_of(hand, tmp_path / name))
    assert texts[0] == texts[1]


def test_costs_stand_in_a_file_of_their_own(hand: Protocol, results: Path, save: Save) -> None:
    save("lecnet:paper", LECNET)
    table, _, costs_file = write_report(hand, results)
    assert costs_file == results / "hand.costs.md"
    (row,) = tables(costs_file.read_text(encoding="utf-8"))[0]
    assert row["Method"] == "LEC-Net (paper)"
    assert row["Base (s)"] == "2.0 (n=3)"
    assert row["Sessions, training (s)"] == "0.6"
    assert row["Sessions, testing (s)"] == "0.4"
    assert row["Peak memory (MiB)"] == "64"
    assert row["Commits"] == "ffffffff"
    assert "ffffffff" not in table.read_text(encoding="utf-8")


# Odd input -------------------------------------------------------------------------------------------------------------


def test_nothing_to_report(hand: Protocol, results: Path, published_rows: list[PublishedRow]) -> None:
    """Neither records nor printed rows; or rows of another number of sessions, which are of another protocol."""
    published_rows[:] = [published("lecnet", (84.5, 60.0))]
    with pytest.raises(RecordError, match="no records yet"):
        write_report(hand, results)
    assert not (results / "hand.md").exists()


def test_only_damaged_records_give_no_table_but_a_note(hand: Protocol, results: Path, make_identity: MakeIdentity) -> None:
    path = Store(results).path(make_identity(), ".json")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    text = text_of(hand, results)
    assert tables(text) == []
    assert f"{path.parent.name}/seed00.json" in text


def test_a_published_row_of_another_length_is_of_another_protocol(
    hand: Protocol, results: Path, save: Save, published_rows: list[PublishedRow]
) -> None:
    """A user's YAML, or one who measures fewer sessions than the paper: a table without that row."""
    published_rows[:] = [published("lecnet", (84.5, 60.0))]
    save("lecnet:paper", LECNET)
    text = text_of(hand, results)
    assert row_of(table_after(text, ACCURACY), "LEC-Net (paper)")["2"] == "45.00 ± 12.42"
    assert "LECNET" not in text


def test_a_pipe_in_a_name_does_not_break_the_table(hand: Protocol, results: Path, make_record: MakeRecord, costs: Costs) -> None:
    record = make_record("lecnet:paper", 0).model_copy(update={"title": "Mine|yours"})
    Store(results).save(record, costs, b"")
    lines = text_of(hand, results).splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("| Method"))
    columns = [line.replace(r"\|", "").count("|") for line in lines[header : header + 3]]
    assert len(set(columns)) == 1


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"images": "e" * 64}, ["on images cccccccc", "on images eeeeeeee"]),
        ({"precision": "bf16"}, ["computed in bf16", "computed in fp32"]),
        ({"precision": "tf32"}, ["computed in fp32", "computed in tf32"]),
    ],
    ids=["images", "bf16", "tf32"],
)
def test_other_images_or_another_precision_are_never_averaged(
    change: dict[str, Any], names: list[str], hand: Protocol, results: Path, save: Save
) -> None:
    """A folder's images were replaced, or half of the seeds ran where bf16 is not to be had: sections that tell themselves apart."""
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **change)
    text = text_of(hand, results)
    headings = [line for line in text.splitlines() if line.startswith("## Recipe")]
    assert sorted(headings) == [f"## Recipe `quick`, split `paper`, {name}" for name in names]
    assert sorted(row["Seeds"] for table in tables(text) for row in table if row.get("Method") == "LEC-Net (paper)" and "Seeds" in row) == [
        "1",
        "2",
    ]


def test_pseudo_sessions_of_one_data_set_are_of_one_table(hand: Protocol, results: Path, save: Save) -> None:
    """Each seed has images of its own there, made of the same data set."""
    for seed in range(3):
        save("lecnet:paper", LECNET[seed : seed + 1], first_seed=seed, images=f"{'c' * 64} pseudo {seed}")
    text = text_of(hand, results)
    assert row_of(table_after(text, ACCURACY), "LEC-Net (paper)")["Seeds"] == "3"
    assert text.count("## Recipe") == 1


def test_methods_of_one_seed_run_on_two_machines_are_not_called_equal(
    hand: Protocol, results: Path, make_record: MakeRecord, costs: Costs
) -> None:
    """Each machine (or compiler) trains its own base: the table must say so, and only for that seed."""
    elsewhere = {"device": "other", "precision": "fp32", "threads": 1, "torch": "2.11.0"}
    store = Store(results)
    for seed in (0, 1):
        store.save(make_record("base_only:default", seed), costs, b"")
        other = make_record("lecnet:paper", seed)
        store.save(other.model_copy(update={"environment": elsewhere}) if seed else other, costs, b"")
    text = write_report(hand, results)[0].read_text()
    assert "- **Seed 1: run in several of these" in text
    assert "Run with device other" in text
    assert "Run with device x86_64" in text


def test_a_base_taken_from_another_machine_is_still_one_base(hand: Protocol, results: Path, make_record: MakeRecord, costs: Costs) -> None:
    """One method was run where its base was trained, the other took that base along."""
    store, there = Store(results), make_record("base_only:default")
    store.save(there, costs, b"")
    trained_with = ", ".join(f"{key} {value}" for key, value in there.environment.items())
    here = {"device": "other", "precision": "fp32", "threads": 1, "torch": "2.11.0", "base trained with": trained_with}
    store.save(make_record("lecnet:paper").model_copy(update={"environment": here}), costs, b"")
    text = write_report(hand, results)[0].read_text()
    assert f"base trained with {trained_with}" in text
    assert "run in several of these" not in text
