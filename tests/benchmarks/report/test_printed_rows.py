"""Printed rows in a report: the verdict beside ours, what each stands on, and all others apart, never ranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.store import Store
from benchmarks.report import write, write_report
from benchmarks.report.printed import printed_lines
from benchmarks.report.section import Section
from benchmarks.report.tables import accuracy_table
from protocols import load_protocol, load_published
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.reading import Row, table_after, tables

HELD = "### What was printed, and whether it held"
STANDS_ON = "### What the published rows stand on"
ELSEWHERE = "## Printed elsewhere"
STEADY = ((8, 9), (8, 7, 4), (7, 6, 3, 2))  # 85.00, 63.33, 45.00 of ten images a class


def row(method: str | None, *accuracy: float | None, **changes: Any) -> PublishedRow:
    fields: dict[str, Any] = {"method": method, "label": "LEC", "source": "Paper, Table 1", "accuracy": accuracy, "backbone": "conv2"}
    return PublishedRow.model_validate({**fields, "split": "paper", "seeds": "10", "selection": "last", **changes})


@pytest.fixture
def section(make_record: MakeRecord) -> Section:
    """LEC-Net and BaseOnly over three seeds, always the same."""
    variants = {variant: [make_record(variant, seed, STEADY) for seed in range(3)] for variant in ("base_only:default", "lecnet:paper")}
    return Section("quick", "paper", variants)


def said(section: Section, rows: Sequence[PublishedRow]) -> str:
    return "\n".join(printed_lines(section, rows))


def held(section: Section, *rows: PublishedRow) -> list[Row]:
    return table_after(said(section, rows), HELD)


def test_a_line_a_row_with_gap_and_verdict(section: Section) -> None:
    (line,) = held(section, row("lecnet", 84.0, 63.0, 44.25, tolerance=1))
    assert line == {
        "Method": "LEC-Net (paper)",
        "Published row": "LEC, Paper, Table 1",
        "Printed last": "44.25",
        "Measured last": "45.00 ± 0.00",
        "Gap": "+0.75",
        "Verdict": "reproduced: within the stated ± 1.0",
        "Notes": "–",
    }


def test_how_many_held_stands_above_the_table(section: Section) -> None:
    rows = [row("lecnet", 85, 63, 45), row("lecnet", 85, 63, 50), row("lecnet", 85, 63, 51), row("lecnet", 95, 63, 45)]
    rows += [row("base_only", 85, 63, None)]
    text = said(section, rows)
    assert "5 comparisons: reproduced 1, differs 2, not comparable 1, undecided 1." in text
    assert "1 comparison: " in said(section, rows[:1])


def test_the_rule_is_told_with_its_numbers(section: Section) -> None:
    text = said(section, [row("lecnet", 85, 63, 45)])
    assert "base accuracies more than 3 points apart" in text
    assert "95 % interval of at most ± 5" in text and "fewer than 3 seeds" in text


def test_where_every_session_brings_all_images_an_unprinted_base_is_no_bar(make_record: MakeRecord) -> None:
    """The rule says so where it is so, beside the verdict that follows; with few shots such a row is not comparable."""
    for shots, word, told in (("all", "reproduced", True), (5, "not comparable", False)):
        sessions = {"base": 2, "way": 1, "count": 2, "shots": shots}
        records = [make_record("lecnet:paper", seed, STEADY, sessions=sessions) for seed in range(3)]
        of, printed = Section("quick", "paper", {"lecnet:paper": records}), row("lecnet", None, None, 45)
        (line,) = held(of, printed)
        assert line["Verdict"].startswith(f"{word}: ")
        assert ("a missing printed base does not prevent a comparison" in said(of, [printed])) is told


def test_class_order_epoch_and_misprint_are_notes(section: Section) -> None:
    """And no refusal: docs/methods.md 1.4, 7.1."""
    printed = row("lecnet", 85, 63, 45, split="lec", selection="test, in every session", misprint="44.9 in the text")
    (line,) = held(section, printed)
    assert line["Verdict"].startswith("reproduced")
    assert line["Notes"] == "printed on lec, measured on paper; printed with epochs chosen on test images; misprint, see below"
    (facts,) = table_after(said(section, [printed]), STANDS_ON)
    assert (facts["Split"], facts["Epoch chosen on"], facts["Misprint"]) == ("lec", "test, in every session", "44.9 in the text")
    (line,) = held(section, printed.model_copy(update={"split": "unknown", "misprint": ""}))
    assert line["Notes"] == "printed on an unknown split; printed with epochs chosen on test images"


def test_what_both_chose_on_test_images_needs_no_note(section: Section) -> None:
    variants = {name: [one.model_copy(update={"selection": "oracle_test"}) for one in of] for name, of in section.variants.items()}
    (line,) = held(Section("quick", "paper", variants), row("lecnet", 85, 63, 45, selection="test, in every session"))
    assert (line["Method"], line["Notes"]) == ("LEC-Net (paper) †", "–")


def test_a_curve_that_only_ends_together_says_so(section: Section) -> None:
    (line,) = held(section, row("lecnet", 85, 93, 45))
    assert (line["Verdict"], line["Notes"]) == ("reproduced: inside ± 0.00", "but session 1 is off by -29.67")
    (line,) = held(section, row("lecnet", 85, None, 45))
    assert line["Notes"] == "–"


def test_what_was_not_printed_has_no_gap(section: Section) -> None:
    (line,) = held(section, row("lecnet", 85, 63, None))
    assert [line[key] for key in ("Printed last", "Gap", "Verdict")] == ["–", "–", "undecided: its last accuracy is not printed"]


def test_a_row_that_stands_beside_two_variants_is_explained_once(make_record: MakeRecord) -> None:
    variants = {name: [make_record(name, seed, STEADY) for seed in range(3)] for name in ("lecnet:paper", "lecnet:code")}
    text = said(Section("quick", "paper", variants), [row("lecnet", 85, 63, 45)])
    assert [line["Method"] for line in table_after(text, HELD)] == ["LEC-Net (paper)", "LEC-Net (code)"]
    assert len(table_after(text, STANDS_ON)) == 1


# Printed elsewhere --------------------------------------------------------------------------------------------------------


@pytest.fixture
def others() -> list[PublishedRow]:
    """Of no method here, of one that was not run, and of a method that was run, on other networks."""
    return [
        row("lecnet", 95, 93, 91, label="far", backbone="resnet12"),
        row(None, 86, 80, 70, label="CEC"),
        row("icarl", 83, 50, 20, label="iCaRL"),
        row(None, 95, 94, None, label="NC", note="a neck", misprint="s1"),
        row("lecnet", 85, 63, 45, label="grown", pretrained="imagenet"),
        row(None, 85, 84, 83, label="best", backbone="resnet12"),
    ]


def test_networks_never_share_a_table_and_nothing_is_sorted_or_bold(section: Section, others: list[PublishedRow]) -> None:
    text = said(section, others)
    assert HELD not in text, "no row of another network stands beside ours"
    assert [[line["Published row"] for line in table] for table in tables(text)] == [["CEC", "iCaRL", "NC"], ["far", "best"], ["grown"]]
    titles = [line for line in text.splitlines() if line.startswith("**")]
    assert titles == [
        "**conv2, from scratch**, the network of this protocol:",
        "**resnet12, from scratch**:",
        "**conv2, pre-trained on imagenet**:",
    ]
    assert not any("**" in cell for table in tables(text) for line in table for cell in line.values())


def test_each_says_whether_it_can_be_compared(section: Section, others: list[PublishedRow]) -> None:
    found = {line["Published row"]: line["Comparable here"] for table in tables(said(section, others)) for line in table}
    assert found == {
        "CEC": "yes",
        "iCaRL": "yes; not run here",
        "NC": "no: base 95.00, here 85.00",
        "far": "no: resnet12, here conv2",
        "best": "no: resnet12, here conv2",
        "grown": "no: from imagenet, here from scratch",
    }


def test_figures_and_facts_of_a_row_printed_elsewhere(section: Section, others: list[PublishedRow]) -> None:
    cec, _, nc = tables(said(section, others))[0]
    assert [cec[key] for key in ("Source", "First", "Last", "Average", "PD")] == ["Paper, Table 1", "86.00", "70.00", "78.67", "16.00"]
    assert [cec[key] for key in ("Split", "Repeats", "Epoch chosen on", "Note", "Misprint")] == ["paper", "10", "last", "–", "–"]
    assert [nc[key] for key in ("First", "Last", "Average", "PD", "Note", "Misprint")] == ["95.00", "–", "–", "–", "a neck", "s1"]


def test_other_networks_do_not_stand_beneath_a_measured_row(section: Section, others: list[PublishedRow]) -> None:
    assert "↳" not in accuracy_table(section, others)
    assert "↳" in accuracy_table(section, [row("lecnet", 85, 63, 45)])


def test_a_row_beside_ours_is_not_repeated_elsewhere(section: Section) -> None:
    assert ELSEWHERE not in said(section, [row("lecnet", 85, 63, 45)])
    assert said(section, []) == ""


@pytest.mark.parametrize("name", ["cifar100", "cub200", "miniimagenet", "seqmnist"])
def test_every_shipped_row_is_shown_once_when_nothing_of_it_was_run(name: str, make_record: MakeRecord) -> None:
    protocol, rows = load_protocol(name), load_published(name)
    sessions = protocol.sessions.model_dump()
    backbone = protocol.backbone.model_dump()
    correct = [(5,) * protocol.sessions.span(number).stop for number in range(protocol.sessions.count + 1)]
    record = make_record("base_only:default", 0, correct, [{}] * len(correct), sessions=sessions, backbone=backbone)
    found = tables(said(Section("paper", "paper", {"base_only:default": [record]}), rows))
    assert sum(len(table) for table in found) == len(rows)


# A protocol that nobody has run -------------------------------------------------------------------------------------------


def test_a_protocol_that_nobody_has_run_says_so_and_shows_what_was_printed(tmp_path: Path) -> None:
    protocol = load_protocol("cub200")
    (path,) = write_report(protocol, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "cub200.md"
    assert "**Nobody has run this protocol yet" in text
    assert "`python run_all.py --protocol cub200`" in text
    (table,) = tables(text)
    assert [line["Published row"] for line in table] == [row.label for row in load_published("cub200")]
    assert {line["Comparable here"] for line in table} == {"open: not run"}
    assert "Measured" not in text
    assert "↳" not in text


def test_it_groups_by_network_too(tmp_path: Path) -> None:
    text = write_report(load_protocol("cifar100"), tmp_path)[0].read_text(encoding="utf-8")
    found = [{line["Comparable here"] for line in table} for table in tables(text)]
    assert found[0] == {"open: not run"}
    assert "no: quicknet, here resnet20" in found[-1]


def test_the_first_record_takes_its_place(
    hand: Protocol, tmp_path: Path, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "printed_beside", lambda own: (row("lecnet", 85, 63, 45),))
    assert "Nobody has run" in write_report(hand, tmp_path)[0].read_text(encoding="utf-8")
    Store(tmp_path).save(make_record("lecnet:paper", 0, STEADY), costs, b"")
    text = write_report(hand, tmp_path)[0].read_text(encoding="utf-8")
    assert "Nobody has run" not in text
    assert HELD in text
