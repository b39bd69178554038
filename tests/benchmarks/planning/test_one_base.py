"""A recipe may say after which kind another one is trained: then all methods stand on one base session."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.planning.studies import study_request
from benchmarks.planning.validation import check_protocol
from benchmarks.records.identity import Identity
from benchmarks.report.bases import in_words
from benchmarks.report.section import Section
from benchmarks.report.settings import difference, own_differences, variant_values
from benchmarks.report.tables import held_back
from benchmarks.running.runner import Runner
from benchmarks.system.errors import UsageError
from protocols import load_protocol
from protocols.schema import Protocol
from protocols.study import load_study

FROZEN = {"trains": "none", "stored_views": 1}
COSINE = {"rule": "cosine", "scale": 16.0, "scale_learns": False}
ONE_BASE = {
    "cosine": COSINE,
    "etf": {"after": "cosine", "width": 32, **FROZEN},
    "contrast": {"after": "cosine", **FROZEN, "stored_views": 2},
    "targets": {**FROZEN, "stored_views": 2},
}


def changed(tiny: Protocol, bases: dict[str, Any]) -> Protocol:
    content = tiny.model_dump(mode="json")
    content["recipes"]["one"] = {"like": "fast", "bases": bases}
    return Protocol.model_validate(content)


def runs_of(protocol: Protocol, methods: str) -> list[Identity]:
    return identities(make_request(protocol, "one", None, "0", methods, []))


@pytest.fixture
def one(tiny: Protocol, runner: Runner) -> Runner:
    return Runner(changed(tiny, ONE_BASE), runner.settings)


def test_a_run_names_the_kinds_in_order_and_what_each_trains(one: Runner) -> None:
    nc, orco = runs_of(one.protocol, "nc_fscil,orco")
    assert [stage.base for stage in nc.stages] == ["cosine", "etf"]
    assert [stage.base for stage in orco.stages] == ["cosine", "contrast", "targets"]
    assert [nc.recipe_of(stage).trains for stage in nc.stages] == ["all", "none"]
    assert in_words(nc).startswith("cosine") and "etf, width 32" in in_words(nc)


def test_without_it_the_kind_has_its_own_parent(tiny: Protocol) -> None:
    [nc, orco] = identities(make_request(tiny, None, None, "0", "nc_fscil,orco", []))
    assert [stage.base for stage in nc.stages] == ["etf"] and [stage.base for stage in orco.stages] == ["contrast", "targets"]


def test_all_have_the_backbone_of_the_one_base(one: Runner) -> None:
    """Proto's predictions are the same on every kind that is trained after the cosine base, and its base model is the other recipe's."""
    runs = runs_of(one.protocol, "proto@cosine,closer@cosine,proto@etf,proto@targets")
    assert len({one.run(run)[0].predictions_sha256 for run in runs}) == 1


def test_methods_on_them_learn(one: Runner) -> None:
    for run in runs_of(one.protocol, "nc_fscil,orco"):
        last = one.run(run)[0].sessions[-1]
        assert sum(last.correct) > 0.2 * sum(last.total)  # chance is a tenth


@pytest.mark.parametrize(
    ("bases", "said"),
    [
        ({"etf": {"after": "cosin"}}, "bases.etf.after: no base kind named 'cosin'. Did you mean 'cosine'?"),
        ({"cosine": {"after": "etf"}, "etf": {"after": "cosine"}}, "recipe one, bases.etf.after: cosine leads back to it"),
        ({"contrast": {"after": "targets"}}, "recipe one, bases.contrast.after: targets leads back to it"),
        ({"etf": {"after": "etf"}}, "recipe one, bases.etf.after: etf leads back to it"),
    ],
)
def test_what_cannot_be_is_said_before_training(tiny: Protocol, bases: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_protocol(changed(tiny, bases))


@pytest.mark.parametrize("kind", ["contrast", "targets"])
def test_views_of_an_image_that_would_be_alike_are_refused(kind: str, tiny: Protocol, runner: Runner) -> None:
    """A contrast of an image with itself would teach nothing."""
    protocol = changed(tiny, {**ONE_BASE, kind: {**ONE_BASE[kind], "stored_views": 1}})
    with pytest.raises(ValueError, match=f"base kind {kind} shows 2 views of an image, and stored_views is 1: they would be alike"):
        Runner(protocol, runner.settings).run(runs_of(protocol, "orco")[0])


def test_null_is_the_kinds_own_parent(tiny: Protocol) -> None:
    """So that a recipe that is like another may take its `after` back."""
    assert changed(tiny, {"etf": {"after": None}}).recipes["one"].parents == {}
    assert [stage.base for stage in runs_of(changed(tiny, {"targets": {"after": None}}), "orco")[0].stages] == ["contrast", "targets"]


def test_a_name_is_a_name(tiny: Protocol) -> None:
    with pytest.raises(ValueError, match=r"etf.after: must be the name of a base kind"):
        changed(tiny, {"etf": {"after": 3}})


def test_a_page_says_where_a_record_stands_on_another_base_than_the_file_says(tiny: Protocol, one: Runner) -> None:
    record = one.run(runs_of(one.protocol, "nc_fscil")[0])[0]
    assert own_differences(one.protocol, record) == []
    other = changed(tiny, {**ONE_BASE, "etf": {**ONE_BASE["etf"], "after": "linear"}})
    assert "base etf after cosine instead of linear" in own_differences(other, record)
    without = changed(tiny, {**ONE_BASE, "etf": {"width": 32, **FROZEN}})
    assert own_differences(without, record) == ["base etf after cosine instead of nothing"]


def test_a_page_says_where_an_earlier_base_session_is_not_what_the_file_says(tiny: Protocol, one: Runner) -> None:
    """The kind's own settings and the recipe's, of a session that is not the last."""
    records = [one.run(run)[0] for run in runs_of(one.protocol, "nc_fscil,proto@targets")]
    other = changed(tiny, {**ONE_BASE, "cosine": {**COSINE, "scale": 4.0, "lr": 0.05}})
    for record in records:
        assert own_differences(one.protocol, record) == []
        assert own_differences(other, record) == ["cosine.scale 16.0 instead of 4.0", "base cosine lr 0.1 instead of 0.05"]
    then, now = (runs_of(protocol, "nc_fscil")[0] for protocol in (one.protocol, other))
    what = difference(variant_values(then), variant_values(now))
    assert "base after cosine scale 16.0 instead of 4.0" in what, "a heading names what differs"


def test_what_no_row_trains_is_said_where_it_holds_of_every_row(one: Runner) -> None:
    nc, ft = (one.run(runs_of(one.protocol, name)[0])[0] for name in ("nc_fscil", "ft_cnn@cosine"))
    assert "**No session trains the backbone**" in held_back(Section("one", "paper", {"nc": [nc]}))
    assert "as an earlier base session left it" in held_back(Section("one", "paper", {"nc": [nc]})), "the cosine base trained it"
    assert held_back(Section("one", "paper", {"nc": [nc], "ft": [ft]})) == ""


@pytest.mark.parametrize("name", ["digits", "cifar100"])
def test_every_row_of_the_study_stands_on_the_same_base_session(name: str) -> None:
    runs = identities(study_request(load_protocol(name), load_study("one-base"), "one-base", None, "0"))
    first = {(stage.base, repr(stage.config), repr(stage.settings)) for stage in (run.stages[0] for run in runs)}
    assert len(first) == 1
    assert {stage.settings.get("trains") for run in runs for stage in run.stages[1:]} == {"none"}
