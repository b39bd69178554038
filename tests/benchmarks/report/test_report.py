"""From records made by hand to Markdown: byte for byte against a golden file, from the records alone, and what odd records give.

After a change of the layout that is meant, look at the `git diff` of what `write_report` gives in `story` and store it as the golden file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.store import Store
from benchmarks.report import write_report
from benchmarks.report.provenance import drawn_by_a_seed
from benchmarks.report.write import as_text
from benchmarks.system.errors import RecordError
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import SETTINGS, MakeIdentity, MakeRecord
from tests.benchmarks.reading import row_of, table_after, tables
from tests.benchmarks.report.conftest import ACCURACY, BASE_ONLY, FT_CNN, GATES, LECNET, Save, published, text_of

GOLDEN = Path(__file__).parents[2] / "data" / "golden_tiny.md"
pytestmark = pytest.mark.usefixtures("published_rows")


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


@pytest.mark.parametrize(
    ("split", "shots", "said"),
    [
        ("paper", 5, "each has a class order of its own and its own draw of shots."),
        ("canonical-order", 5, "each has the order of the labels and its own draw of shots."),
        ("canonical-order", "all", "each has the order of the labels."),
        ("canonical", 5, "one class order and one draw of shots for all of them, so that ± holds the randomness of training alone."),
    ],
)
def test_what_lies_under_the_spread_is_said(split: str, shots: Any, said: str, make_identity: MakeIdentity) -> None:
    identity = make_identity(split=split, sessions={**SETTINGS["sessions"], "shots": shots})
    assert f"{drawn_by_a_seed(identity)}." == said


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


def test_the_same_bytes_twice_and_from_the_records_alone(hand: Protocol, story: Path) -> None:
    first = text_of(hand, story)
    assert text_of(hand, story) == first
    for path in (story / "records").rglob("*"):
        if path.name.endswith((".npz", ".cost.json")):
            path.unlink()
    assert text_of(hand, story) == first
    assert "No file beside a record says" in (story / "hand.costs.md").read_text(), "the page links there"
    assert "| Method" not in (story / "hand.costs.md").read_text(), "no costs, no table of costs"


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
