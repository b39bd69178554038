"""The page of a group of methods: what stands on it and not on the protocol's own, and who is held against whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.published import check_published
from benchmarks.records import store as store_module
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.stated import stated_group
from benchmarks.records.store import Store
from benchmarks.report import pages, placing, write_report
from protocols import ProtocolError, loading, printed
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.benchmarks.reading import row_of, table_after, tables, unbroken
from tests.benchmarks.report.conftest import ASKED, COSINE, FIXED, Save

FIXED_16 = "base cosine, scale 16.0, scale_learns false"
AHEAD = "### Who is ahead, paired over seeds"
OVERVIEW = "## Which base session each row stands on"

# Right answers of ten images a class after the last session; the sessions before it are the same for all.
GOOD = [(8, 8, 6, 6), (8, 9, 7, 6), (9, 9, 6, 7)]  # 70, 75, 77.5 of 100
FAIR = [(8, 8, 5, 5), (8, 9, 6, 5), (9, 9, 5, 5)]  # 65, 70, 70
NONE = [(8, 8, 0, 0), (8, 9, 0, 0), (9, 9, 0, 0)]


@pytest.fixture
def save(results: Path, make_record: MakeRecord, costs: Costs) -> Save:
    """save(variant, last, ...): one record a seed, 0 upwards."""

    def save_all(variant: str, last: list[tuple[int, ...]], marks: dict[str, Any] | None = None, **changes: Any) -> None:
        for seed, right in enumerate(last):
            record = make_record(variant, seed, ((8, 8), (8, 8, 5), right), **changes).model_copy(update=marks or {})
            Store(results).save(record, costs, b"")

    return save_all


@pytest.fixture
def ordinary(save: Save) -> None:
    """What stands on the protocol's own page."""
    save("base_only:default", NONE, config={})
    save("proto:raw_mean", FAIR, config={})
    save("lecnet:paper", [(6, 6, 3, 1), (7, 6, 3, 2), (7, 7, 4, 2)])


@pytest.fixture
def modern(save: Save) -> None:
    """TEEN on its own base with both controls, and LEC-Net on the controls' base."""
    save("teen:default", GOOD, **COSINE)
    save("proto:raw_mean", FAIR, **ASKED)
    save("base_only:default", NONE, **ASKED)
    save("lecnet:paper", FAIR, asked_base="linear")


def texts(paths: list[Path]) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def sections(text: str) -> dict[str, str]:
    """Heading of each base session's section -> its text."""
    return {part.partition("\n")[0].partition(", base ")[2]: part for part in text.split("\n## ") if part.startswith("Recipe")}


def labels(text: str, heading: str) -> list[str]:
    return [row["Method"] for row in table_after(text, heading)]


def test_rows_of_a_group_or_another_base_change_no_byte_of_the_protocols_page(
    ordinary: None, hand: Protocol, results: Path, save: Save, make_identity: Callable[..., Identity], request: pytest.FixtureRequest
) -> None:
    """Better rows, with failed and damaged ones: no paired test, no bold cell, no note and no heading of hand.md knows of them."""
    before = texts(write_report(hand, results))
    assert sorted(before) == ["hand.costs.md", "hand.matrix.md", "hand.md"]
    request.getfixturevalue("modern")
    save("teen:default", GOOD, precision="bf16", **COSINE)
    save("teen:default", GOOD, version=0, **COSINE)
    store = Store(results)
    store.save_failure(make_identity("teen:default", 7, **COSINE), Failure("ValueError: broken", ""))
    store.save_failure(make_identity("proto:raw_mean", 8, **ASKED), Failure("ValueError: asked", ""))
    for number, changes in ((5, COSINE), (6, {**COSINE, "overrides": {"shift": 0.5}})):
        path = store.path(make_identity("teen:default", number, **changes), ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("cut")
    note = store.path(make_identity("proto:raw_mean", 9, **ASKED), ".failed.json")
    note.write_text("{")
    after = texts(write_report(hand, results))
    assert {name: after[name] for name in before} == before
    text = after["modern.hand.md"]
    for told in ("ValueError: broken", "ValueError: asked", "note that says why is damaged", "seed05.json", "seed06.json", "version 0"):
        assert told in text, told


def test_rows_are_ranked_beside_their_own_base_only(ordinary: None, modern: None, hand: Protocol, results: Path, save: Save) -> None:
    save("proto:norm_mean", GOOD, base="cosine", asked_base="cosine", base_config={**FIXED, "margins": True}, config={"mean": "unit"})
    text = texts(write_report(hand, results))["modern.hand.md"]
    found = sections(text)
    assert list(found) == ["cosine, margins true, scale 16.0, scale_learns false", "cosine, scale 16.0, scale_learns false", "linear"]
    cosine, linear = found["cosine, scale 16.0, scale_learns false"], found["linear"]
    three = ["BaseOnly (on cosine)", "Proto (raw_mean, on cosine)", "teen"]
    assert labels(cosine, "### Accuracy after each session") == three
    assert sorted(labels(cosine, AHEAD)) == sorted(three)
    assert sorted(labels(linear, AHEAD)) == ["BaseOnly", "LEC-Net (paper, on linear)", "Proto (raw_mean)"], "the controls stand here, too"
    assert labels(cosine, AHEAD)[0] == "teen", "ahead of both on this base"
    assert "LEC-Net (paper)" not in text
    assert "No test: fewer than two rows are ranked." in found["cosine, margins true, scale 16.0, scale_learns false"]
    assert "--recipe quick --split paper --methods base_only@cosine`, with `--set cosine.FIELD=VALUE`" in text
    rows = table_after(text, OVERVIEW)  # holds each row against Proto on its own base
    assert [row["Method"] for row in rows][-3:] == ["BaseOnly", "LEC-Net (paper, on linear)", "Proto (raw_mean)"]
    teen, lecnet = row_of(rows, "teen"), row_of(rows, "LEC-Net (paper, on linear)")
    assert (teen["Base session"], lecnet["Base session"]) == ("cosine, scale 16.0, scale_learns false", "linear")
    assert teen["Accuracy"] == "74.17 ± 9.49"  # 70, 75, 77.5: sd 3.8188; 4.302653 * 3.8188 / sqrt(3)
    assert teen["Accuracy − Proto"] == "+5.83 ± 3.59"  # 5, 5, 7.5: sd 1.4434
    assert lecnet["Accuracy − Proto"] == "+0.00 ± 0.00"
    assert row_of(rows, "Proto (raw_mean, on cosine)")["Accuracy − Proto"] == "–"
    assert teen["Harmonic mean − Proto"].startswith("+")


def test_controls_stay_away_where_nothing_else_stands_on_their_base(ordinary: None, hand: Protocol, results: Path, save: Save) -> None:
    save("teen:default", GOOD, **COSINE)
    text = texts(write_report(hand, results))["modern.hand.md"]
    assert list(sections(text)) == ["cosine, scale 16.0, scale_learns false"]
    assert {row["Method"] for table in tables(text) for row in table if "Method" in row} == {"teen"}
    assert "--methods base_only@cosine,proto@cosine" in text


def test_of_groups_alone_there_is_no_page_of_the_protocol(hand: Protocol, results: Path, save: Save) -> None:
    save("teen:default", GOOD, **COSINE)
    written = write_report(hand, results)
    assert {path.name for path in written} == {f"modern.hand{end}" for end in (".md", ".matrix.md", ".costs.md")}
    assert "None of them is on `hand.md`" in unbroken(written[0].read_text()), "no link to a page that is not there"
    save("base_only:default", NONE, config={})
    assert "None of them is on [hand.md](hand.md)" in unbroken(texts(write_report(hand, results))["modern.hand.md"])


def test_without_sources_the_record_says_the_group(
    hand: Protocol, results: Path, save: Save, ordinary: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("teen:default", GOOD, {"group": "modern"}, **COSINE)
    save("gone:default", GOOD, config={})
    save("gone:asked", GOOD, **ASKED)
    monkeypatch.setattr(placing, "stated_group", lambda method: None if method == "teen" else stated_group(method))
    text = texts(write_report(hand, results))
    assert {row["Method"] for row in table_after(text["hand.md"], AHEAD)} >= {"gone", "BaseOnly"}, "nothing says otherwise"
    assert not {"teen", "gone (asked, on cosine)"} & {
        row["Method"] for table in tables(text["hand.md"]) for row in table if "Method" in row
    }
    assert labels(text["modern.hand.md"], OVERVIEW) == ["gone (asked, on cosine)", "teen"]


def test_a_page_written_without_own_methods_says_what_it_cannot_know(
    hand: Protocol, results: Path, save: Save, ordinary: None, make_identity: MakeIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed runs of own methods went to no page that shows them, and nothing said that sources were not compared."""
    save("gone:default", GOOD, {"group": "own"}, config={})
    with monkeypatch.context() as readable:
        readable.setattr(store_module, "stated_group", lambda method: "own")
        Store(results).save_failure(make_identity("gone:default", 7, config={}), Failure("ValueError: broken", ""))
    text = unbroken(texts(write_report(hand, results))["own.hand.md"])
    assert "gone:default seed 7 (quick.paper): ValueError: broken" in text
    assert "Whether the sources of gone have changed since is not known: methods/gone.py, bases/linear.py, or what they import" in text
    assert "run_all.py --protocol hand.yaml --methods-dir FOLDER --report-only" in text
    page = json.loads(Store(results).path(make_identity("gone:default", 7, config={}), ".failed.json").read_bytes())
    assert page["group"] == "own"


def test_a_page_of_failed_runs_alone_names_the_folder_of_own_methods(
    hand: Protocol, results: Path, save: Save, ordinary: None, make_identity: MakeIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as readable:
        readable.setattr(store_module, "stated_group", lambda method: "own")
        Store(results).save_failure(make_identity("gone:default", 7, config={}), Failure("ValueError: broken", ""))
    written = texts(write_report(hand, results))
    assert "run_all.py --protocol hand.yaml --methods-dir FOLDER --report-only" in unbroken(written["own.hand.md"])
    assert "run_all.py --protocol hand.yaml --report-only" in unbroken(written["hand.md"])


def test_settings_that_the_recipe_no_longer_says_stand_apart(modern: None, hand: Protocol, results: Path) -> None:
    """Of the base kind's own, too: the recipe wants another scale by now."""
    quick = hand.recipes["quick"].model_copy(update={"bases": {"cosine": {"scale": 8.0}}})
    protocol = hand.model_copy(update={"recipes": {**hand.recipes, "quick": quick}})
    now, _, other = texts(write_report(protocol, results))["modern.hand.md"].partition("\n## Other settings\n")
    assert list(sections(now)) == ["linear"]
    assert f"### Recipe `quick`, split `paper`, teen with cosine.scale 16.0 instead of 8.0, {FIXED_16}" in other


def test_a_base_that_knows_all_classes_is_marked_in_every_table(
    ordinary: None, hand: Protocol, results: Path, save: Save, make_record: MakeRecord
) -> None:
    save("teen:default", GOOD, {"knows_all_classes": True}, **COSINE)
    text = texts(write_report(hand, results))
    assert all("teen ‡" in text[name] for name in text if name.startswith("modern"))
    assert " ".join(text["modern.hand.md"].split()).count("‡: its base session knows in advance") == 2, (
        "under the first table, and in the row's own section"
    )
    assert "‡" not in text["hand.md"]


def row(method: str, *accuracy: float, **changes: Any) -> PublishedRow:
    fields: dict[str, Any] = {"method": method, "label": method.upper(), "source": "Paper", "accuracy": accuracy, "backbone": "conv2"}
    return PublishedRow.model_validate({**fields, "split": "paper", "seeds": "1", "selection": "last", **changes})


def test_published_rows_of_the_group_stand_beside_with_verdicts(
    ordinary: None, modern: None, hand: Protocol, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (row("teen", 80.0, 70.0, 74.0, tolerance=1), row("proto", 80.0, 70.0, 60.0), row("icarl", 1, 2, 3), row("teen", 1, 2))
    monkeypatch.setattr(pages, "printed_beside", lambda own, group: rows if (own.name, group) == ("hand", "modern") else ())
    text = texts(write_report(hand, results))
    found = sections(text["modern.hand.md"])
    cosine = found["cosine, scale 16.0, scale_learns false"]
    verdicts = {line["Published row"]: line["Verdict"] for line in table_after(cosine, "### What was printed, and whether it held")}
    assert verdicts["TEEN, Paper"] == "reproduced: within the stated ± 1.0"
    assert "TEEN, Paper" not in found["linear"] and "PROTO, Paper" in found["linear"]
    assert text["modern.hand.md"].count("## Printed elsewhere") == 1
    assert [line["Published row"] for line in table_after(text["modern.hand.md"], "## Printed elsewhere")] == ["ICARL"]
    assert "TEEN" not in text["hand.md"]


def test_a_file_of_published_rows_of_a_group_is_checked_like_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    (tmp_path / "published").mkdir()
    (tmp_path / "tiny.yaml").write_text(Path("tests/data/tiny.yaml").read_text())
    length = loading.load_protocol("tiny").sessions.count + 1
    file = tmp_path / "published" / "modern.tiny.yaml"
    for method, accuracy, message in (("teeen", length, r"modern\.tiny\.yaml: 0\.method: .*teen"), ("teen", 1, "accuracy: must have")):
        file.write_text(json.dumps([json.loads(row(method, *[1.0] * accuracy).model_dump_json())]))
        with pytest.raises(ProtocolError, match=message):
            check_published("tiny")
