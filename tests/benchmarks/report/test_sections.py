"""Which runs a page takes as current, which stand under other settings, and whether a heading says what differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.main import main
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun
from benchmarks.records.identity import NO_SETTINGS, Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report import write_report
from benchmarks.report.matching import without_studied
from benchmarks.report.sections import NOT_TOLD, SHARED, Sections, make_sections
from benchmarks.report.settings import DESCRIBED, agrees
from protocols.schema import Protocol
from protocols.study import Study

Make = Callable[..., Record]


@pytest.fixture
def stored(make_record: Make, costs: Costs, tmp_path: Path) -> Callable[..., Record]:
    """stored(...): a record made by hand, written and read again."""

    def stored(*arguments: Any, **changes: Any) -> Record:
        record = make_record(*arguments, **changes)
        store = Store(tmp_path)
        store.save(record, costs, b"")
        found = store.find(record.identity)
        assert found is not None
        return found

    return stored


def protocol_of(
    record: Record, methods: dict[str, dict[str, Any]] | None = None, bases: dict[str, dict[str, Any]] | None = None
) -> Protocol:
    """The file that describes a record's shared settings, with what its recipe says of methods and base kinds."""
    identity = record.identity
    recipe = {**identity.recipe_settings.model_dump(), "methods": methods or {}, "bases": bases or {}}
    content = {
        "name": identity.protocol,
        "title": "By hand",
        "data": identity.data,
        "augment": identity.augment,
        "sessions": identity.sessions,
        "backbone": identity.backbone,
        "recipes": {identity.recipe: recipe},
        "recipe": identity.recipe,
        "splits": [identity.split],
    }
    return Protocol.model_validate(content)


def names(sections: Sections) -> tuple[list[str], list[str]]:
    return [section.name for section in sections.current], [section.name for section in sections.other]


HERE = "Recipe `quick`, split `paper`"


def test_what_the_file_says_is_current(stored: Make) -> None:
    records = [stored("base_only:default", seed, config={}) for seed in range(3)]
    assert names(make_sections(protocol_of(records[0]), records, [])) == ([HERE], [])


def test_a_recipe_that_says_otherwise_moves_the_only_runs_of_a_variant(stored: Make) -> None:
    """Even where nobody has run the new setting yet."""
    record = stored("base_only:default", config={"lr": 0.01})
    current, other = names(make_sections(protocol_of(record, {"base_only": {"lr": 0.5}}), [record], []))
    assert current == []
    assert other == [f"{HERE}, BaseOnly with lr 0.01 instead of 0.5"]
    current, other = names(make_sections(protocol_of(record, bases={"linear": {"lr": 0.3}}), [record], []))
    assert (current, other) == ([], [f"{HERE}, BaseOnly with base lr 0.1 instead of 0.3"])


def test_values_agree_whatever_the_file_writes() -> None:
    assert agrees(1, 1.0)
    assert agrees("1e-2", 0.01)
    assert agrees((50, 70), [50, 70])
    assert not agrees(True, 1)
    assert not agrees("fast", 0.01)


def test_settings_are_not_averaged_over_a_field_that_one_of_them_lacks(stored: Make) -> None:
    """Seed 0 was run before the field came; seeds 1 and 2 with two defaults of it."""
    records = [
        stored("base_only:default", 0, config={}),
        stored("base_only:default", 1, config={"x": 1}, defaults=("x",)),
        stored("base_only:default", 2, config={"x": 2}, defaults=("x",)),
    ]
    sections = make_sections(protocol_of(records[0]), records, [])
    rows = [section.variants["base_only:default"] for section in (*sections.current, *sections.other)]
    assert sorted(sorted(record.identity.seed for record in row) for row in rows) == [[0, 1], [2]]


def test_headings_tell_all_that_differs(stored: Make) -> None:
    """Another rate of the recipe, and in it two settings of a method; two sets of images."""
    slow = {"epochs": 2, "lr": 0.3}
    records = [
        stored("base_only:default", 0, config={"x": 1}, recipe_settings=slow),
        stored("base_only:default", 0, config={"x": 2}, recipe_settings=slow),
        stored("proto:raw_mean", 0, config={}, recipe_settings=slow, images="a" * 64),
        stored("proto:raw_mean", 1, config={}, recipe_settings=slow, images="b" * 64),
    ]
    now = stored("lecnet:ne", 0, config={})
    _, other = names(make_sections(protocol_of(now), records, []))
    assert len(set(other)) == len(other) == 4
    assert all("recipe lr 0.3 instead of 0.1" in name for name in other)
    assert any("x 1 instead of 2" in name or "x 2 instead of 1" in name for name in other)
    assert any("on images aaaaaaaa" in name for name in other)


def test_failures_of_other_settings_are_not_counted_in_the_table(stored: Make) -> None:
    record = stored("base_only:default", 0, config={})
    slow = record.identity.model_copy(update={"seed": 7, "version": 0})
    failures = [
        FailedRun("quick.paper", "base_only:default", 7, "of an older version", slow),
        FailedRun("quick.paper", "base_only:default", 3, "of this one", record.identity.model_copy(update={"seed": 3})),
        FailedRun("quick.paper", "base_only:default", 4, "of nobody knows what"),
    ]
    [section] = make_sections(protocol_of(record), [record], failures).current
    assert [failed.seed for failed in section.failures] == [3, 4]


def study(*changes: dict[str, Any]) -> Study:
    variants = [{"label": str(number), "method": "lecnet:paper", "set": change} for number, change in enumerate(changes)]
    return Study.model_validate({"name": "mine", "title": "Mine", "reference": "0", "variants": variants})


def variants(stored: Make, *changes: dict[str, Any]) -> Sequence[Record]:
    return [stored("lecnet:paper", overrides=change, config={"gamma": 0.8, **change}) for change in changes]


def test_a_studys_variants_leave_the_page_when_all_of_them_are_there(stored: Make) -> None:
    changes: tuple[dict[str, Any], ...] = ({}, {"gamma": 0.2}, {"gamma": 1.0})
    records = variants(stored, *changes)
    [whole] = make_sections(protocol_of(records[0]), records, []).current
    kept, moved = without_studied(whole, [study(*changes)])
    assert (list(kept.variants), moved) == (["lecnet:paper"], {"mine"})
    kept, moved = without_studied(whole, [study(*changes, {"gamma": 1.4})])
    assert (len(kept.variants), moved) == (3, set())


def test_a_study_without_its_traces_keeps_nothing_from_the_page(stored: Make) -> None:
    """Its page would leave the section out, and the record would be on no page."""
    changes: tuple[dict[str, Any], ...] = ({}, {"gamma": 0.2})
    records = variants(stored, *changes)
    [whole] = make_sections(protocol_of(records[0]), records, []).current
    kept, moved = without_studied(whole, [study(*changes).model_copy(update={"figures": ("drift",)})])
    assert (len(kept.variants), moved) == (2, set())


@pytest.mark.parametrize("place", ["absent", "empty", "a file", "an empty protocol"])
def test_nothing_to_report_is_one_line(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    if place == "a file":
        results.write_text("x")
    elif place != "absent":
        (results / "records" / "digits").mkdir(parents=True) if place == "an empty protocol" else results.mkdir()
    assert main(["--report-only", "--results", str(results)]) == 2
    assert capsys.readouterr().err == f"run_all.py: {results}: no records to report\n"


def test_a_record_of_numbers_that_cannot_be_is_named(stored: Make, tmp_path: Path) -> None:
    record = stored("base_only:default", config={})
    content = json.loads(record.path.read_bytes())
    content |= {"schema_version": 1}
    del content["seal"]
    content["identity"] = {
        key: value for key, value in content["identity"].items() if key not in ("images", "precision", "defaults", "base_version")
    }
    content["images_sha256"] = "c" * 64
    for session in content["sessions"]:
        del session["numbers_kept"]
    content["sessions"][0]["total"] = [10**400] * 2
    record.path.write_text(json.dumps(content))
    records, faults, _ = Store(tmp_path).load("hand")
    assert records == []
    assert "sessions.0.total.0: must be at most" in faults[0]


def test_a_dagger_is_explained_wherever_it_stands(make_record: Make, costs: Costs, tmp_path: Path) -> None:
    """Even where the only rows that test images chose are under other settings."""
    store = Store(tmp_path)
    plain = make_record("base_only:default", config={})
    store.save(plain, costs, b"")
    store.save(make_record("lecnet:oracle", suite=2), costs, b"")
    text = write_report(protocol_of(plain), tmp_path)[0].read_text()
    assert "LEC-Net (oracle) †" in text
    assert "† Test images chose" in text


OF_A_VARIANT = {"method", "preset", "asked_base", "overrides"}
OF_A_GROUP = {"protocol", "recipe", "split"}
OF_A_SETTING = {"version", "config", "base", "base_version", "base_settings", "base_config", "base_parents"}


def test_every_field_of_a_run_has_its_place_in_a_report() -> None:
    """Whoever adds a field to `Identity` says here what it does to tables: a field that none of these lists has would part the rows of a
    table under a heading that says nothing."""
    parts = [set(SHARED), set(NOT_TOLD), OF_A_VARIANT, OF_A_GROUP, OF_A_SETTING]
    assert sorted(name for part in parts for name in part) == sorted(Identity.model_fields)
    assert {*DESCRIBED, "suite", "recipe_settings"} == set(SHARED), "what a heading says of them: settings.shared_differences"
    assert set(NO_SETTINGS) == {*NOT_TOLD, "config", "base_config", "base_parents"}, "compared with their defaults, or not at all"
