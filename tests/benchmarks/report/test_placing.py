"""On which page a run stands, by its group and the base kind asked for."""

from __future__ import annotations

import re

import pytest

from benchmarks.cli.listing import listing
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import BaseStage
from benchmarks.report.bases import stage_in_words
from benchmarks.report.matching import without_studied
from benchmarks.report.placing import group_of, run_named
from benchmarks.report.section import Section
from benchmarks.report.study import by_page
from benchmarks.running.runner import Runner
from methods.bases.cosine import Cosine
from protocols.schema import Protocol
from protocols.study import Study
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.report.conftest import ASKED, COSINE


@pytest.mark.parametrize(
    ("listed", "variant", "page"),
    [
        (None, "teen:default", "modern"),
        (["teen"], "teen:default", ""),
        (["modern"], "teen:default", ""),
        (["teen:other"], "teen:default", "modern"),
        (["proto"], "teen:default", "modern"),
        (["teen"], "teen:default@projected", "modern"),
        (["proto"], "proto:raw_mean@cosine", "modern"),
        (["proto@cosine"], "proto:raw_mean@cosine", ""),
        (["proto@cosine"], "proto:norm_mean@cosine", "modern"),
        (["base_only"], "proto:norm_mean", ""),
        (None, "nobody_knows:it", ""),
        (None, "nobody-knows@cosine-1a2b3c4d", "modern"),
        (None, "teen-default-1a2b3c4d", "modern"),
        (None, "proto:raw_mean[x=a@b]", ""),
        (None, "", ""),
    ],
)
def test_a_runs_page(listed: list[str] | None, variant: str, page: str, hand: Protocol) -> None:
    """What the protocol's list names stands on its own page, the group's first preset as that of any method."""
    protocol = hand.model_copy(update={"methods": listed})
    assert group_of(protocol, run_named(variant)) == page


def test_a_study_across_pages_shows_its_variants_once_all_are_there(make_record: MakeRecord) -> None:
    variants = [{"label": "0", "method": "teen"}, {"label": "1", "method": "lecnet:paper", "set": {"gamma": 0.2}}]
    study = Study.model_validate({"name": "mine", "title": "Mine", "reference": "0", "variants": variants})
    changed = make_record("lecnet:paper", overrides={"gamma": 0.2})
    section = Section("quick", "paper", {changed.identity.variant: [changed]})
    assert without_studied(section, [study])[1] == set()
    kept, moved = without_studied(section, [study], [make_record("teen:default", **COSINE)])
    assert (kept.variants, moved) == ({}, {"mine"})


def test_rows_of_a_recipe_that_is_made_for_a_study_are_its_own_from_the_first_on(make_record: MakeRecord) -> None:
    """Under this recipe alone: the same variants stand in the table of another one."""
    variants = [{"label": label, "method": f"{label}@cosine"} for label in ("proto:raw_mean", "base_only:default", "teen:default")]
    study = Study.model_validate({"name": "mine", "title": "Mine", "reference": "proto:raw_mean", "variants": variants, "recipe": "quick"})
    runs = [make_record(variant, **ASKED) for variant in ("proto:raw_mean", "base_only:default")]
    section = Section("quick", "paper", {record.identity.variant: [record] for record in runs})
    kept, moved = without_studied(section, [study])
    assert (kept.variants, moved) == ({}, {"mine"})
    for other in (study.model_copy(update={"recipe": "paper"}), study.model_copy(update={"recipe": None})):
        left, moved = without_studied(section, [other])
        assert (left.variants, moved) == (section.variants, set())


def test_a_study_names_the_page_of_its_other_settings(make_record: MakeRecord, hand: Protocol) -> None:
    made = (make_record("teen:default", **COSINE), make_record("base_only:default"), make_record("proto:raw_mean", **ASKED))
    found = by_page(hand, [Section("quick", "paper", {record.identity.variant: [record]}) for record in made])
    assert {page: len(of_page) for page, of_page in found.items()} == {"modern.hand": 2, "hand": 1}


def test_the_list_shows_groups() -> None:
    text = listing()
    assert re.search(r"^  modern +.*fecam, gkeal, .*teen", text, re.MULTILINE)
    assert "only when asked, by name or with --methods GROUP; their page is GROUP.<protocol>.md" in text


def test_base_sessions_in_words() -> None:
    stage = BaseStage(base="cec", version=2, settings={"lr": 0.2, "epochs": 5}, config={"rule": "dot", "x": 1}, defaults=("x",))
    assert stage_in_words(stage) == "cec, version 2, rule dot, trained with epochs 5, lr 0.2"


def test_a_record_says_its_group_and_whether_its_base_knew_all_classes(
    tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cosine, "knows_all_classes", True)
    found = {}
    for identity in identities(make_request(tiny, None, None, "0", "teen,base_only", [])):
        record = runner.run(identity)[0]
        found[identity.method] = (record.group, record.knows_all_classes)
    assert found == {"teen": ("modern", True), "base_only": ("", False)}
