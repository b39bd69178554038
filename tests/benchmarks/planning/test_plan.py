"""From names to runs: what makes a run this run."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest

from benchmarks.planning.plan import Request, identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.loading import load_method
from methods.contract.registry import read_entry
from protocols import load_protocol, protocol_names
from protocols.schema import Protocol, Recipe
from protocols.study import Study, StudyVariant
from tests.benchmarks.conftest import MakeIdentity
from tests.benchmarks.planning.conftest import placed, runs_of, with_recipe
from tests.methods.runs import ON_IMAGES


def test_one_run_a_seed_and_variant(tiny: Protocol) -> None:
    runs = runs_of(tiny, "lecnet,lecnet:code,base_only", seeds="0,3")
    assert [(run.variant, run.seed) for run in runs] == [
        (variant, seed) for seed in (0, 3) for variant in ("lecnet:paper", "lecnet:code", "base_only:default")
    ]
    assert len({placed(run) for run in runs}) == len(runs)


@pytest.mark.parametrize(("said", "asked"), [("auto", None), ("fp32", "fp32"), ("bf16", "bf16")])
def test_images_are_open_until_they_are_seen_and_precision_where_the_recipe_says_auto(said: str, asked: str | None, tiny: Protocol) -> None:
    (run,) = runs_of(with_recipe(tiny, precision=said), "base_only")
    assert (run.images, run.precision) == (None, asked)


def other(value: Any) -> Any:
    """Another value of a parameter's type, within its bounds; None for a choice by name."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    if isinstance(value, (list, tuple)):
        return [1, 2]
    return 1 if value is None else None


NEEDS: dict[tuple[str, str], dict[str, Any]] = {  # parameters that are refused without others
    ("icarl", "loss"): {"replay": "within"},
    ("icarl", "predict"): {"choose": "herding"},
    ("eeil", "balanced_epochs"): {"replay": "within", "anchor_weight": 0.0},
    ("eeil", "replay"): {"anchor_weight": 0.0},
    ("ncm", "margin_weight"): {"replay": "within"},
    ("topic", "batch_norm"): {"train": "all"},
}
OTHERS: dict[str, Any] = {"augment": {"pad": 2}, "options": {"ewc_lambda": 0.5}}
ONE_VALUE = {("warp", "weight_decay")}
"""Parameters that a method holds at one value."""
NEEDED_BY_ALL: dict[str, dict[str, Any]] = {
    "dampening": {"nesterov": False},
    "floor": {"schedule": "cosine", "milestones": []},
    "schedule": {"milestones": []},
    "stored_views": {"trains": "none"},
}


@pytest.mark.parametrize("method", ON_IMAGES)
def test_changing_any_parameter_changes_the_run(method: str, tiny: Protocol) -> None:
    for field, declared in load_method(method).Config.model_fields.items():
        if (method, field) in ONE_VALUE:
            continue
        needed = NEEDS.get((method, field)) or NEEDED_BY_ALL.get(field, {})
        if field in ("nesterov", "optimizer") and "dampening" in load_method(method).Config.model_fields:
            needed = {"dampening": 0.0}
        elif field in ("schedule", "milestones"):
            needed = {"schedule": "step", "floor": 0.0, "milestones": [], "ramp_epochs": 0.0}
        (plain,) = runs_of(with_recipe(tiny, methods={method: needed}), method)
        before = plain.config[field]
        value = OTHERS.get(field, other(before))
        if value is None:  # a choice by name: any other of those declared
            choices = [choice for choice in declared.annotation.__args__ if choice != before]  # type: ignore[union-attr]
            if not choices:  # a subclass that leaves one choice only: there is nothing to change
                continue
            value = choices[0]
        (by_recipe,) = runs_of(with_recipe(tiny, methods={method: {**needed, field: value}}), method)
        assert by_recipe != plain, field
        assert by_recipe.config[field] != before
        assert placed(by_recipe) != placed(plain), "no run takes another's place"
        (by_hand,) = runs_of(with_recipe(tiny, methods={method: needed}), method, [f"{method}.{field}={value}"])
        assert by_hand != plain, field
        assert by_hand.config == by_recipe.config
        assert placed(by_hand) not in (placed(plain), placed(by_recipe)), "a variant of the command line has its own record"
        assert by_hand.variant.startswith(f"{plain.variant}[{field}=")


# These have the recipes of another protocol (`like`; cub200-resnet18b: tests/benchmarks/data/test_own_weights.py).
LIKE_OTHERS = ("cub200-resnet18b", "cub200-features", "cub200-lite0", "miniimagenet-32")


@pytest.mark.parametrize("name", [name for name in protocol_names() if name not in LIKE_OTHERS])
def test_no_two_presets_of_a_method_are_one_run(name: str) -> None:
    """A recipe's value for a method goes over the preset's: `ft_cnn: {lr: ...}` would make `slow` as fast as `topic`."""
    protocol = load_protocol(name)
    for recipe in protocol.recipes:
        variants = [f"{method}:{preset}" for method in ON_IMAGES for preset in read_entry(method).presets]
        runs = identities(make_request(protocol, recipe, None, "0", ",".join(variants), []))
        assert len(runs) == len(variants)
        seen = Counter((run.method, json.dumps(run.config, sort_keys=True), run.base) for run in runs)
        assert [method for (method, *_), count in seen.items() if count > 1] == [], recipe


@pytest.mark.parametrize(
    ("variant", "text", "message"),
    [
        ("eeil", "eeil.balanced_epochs=2", "need replay: within"),
        ("eeil:original", "eeil.anchor_weight=0.1", "needs replay: beside"),
        ("icarl", "icarl.loss=sigmoid", "needs replay: within"),
        ("icarl:original", "icarl.choose=random", "needs choose: herding"),
        ("ncm", "ncm.margin_weight=1", "needs replay: within"),
        ("ncm:original", "ncm.replay=beside", "needs replay: within"),
        ("topic", "topic.novel_exemplars=0", "novel_exemplars"),
        ("icarl", "icarl.batch_norm=train", "batch_norm must be last_block or eval"),
        ("ncm", "ncm.schedule=cosine", r"--set: milestones go with schedule step only; with cosine, milestones must be \[\]"),
        ("ft_cnn", "ft_cnn.floor=0.1", "--set: floor goes with schedule cosine only, and schedule is step"),
        ("ft_cnn", "ft_cnn.dampening=0.9", "--set: dampening needs nesterov: false"),
        ("ft_cnn", "ft_cnn.momentum=0", "--set: momentum 0 needs nesterov: false"),
    ],
)
def test_what_cannot_work_together_is_refused_before_training(tiny: Protocol, variant: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runs_of(tiny, variant, [text])


# What the last four come to is in the environment.
RUNTIME = {"data_root", "results", "methods_dir", "own_bases", "record_sessions", "device", "threads", "compile", "precision"}
PRESENTATION = {"title", "notes", "printed"}
# The chosen recipe, split, seed and method are in the identity.
CHOSEN_PER_RUN = {"recipe", "recipes", "splits", "seeds", "methods", "without"}
CHECKED_NOT_CHOSEN = {"canonical"}  # facts that the data must show; they change no number
IN_THE_IDENTITY: dict[str, Any] = {
    "name": "other",
    "data": {"source": "digits", "size": 16, "channels": 1, "mean": [0.3053], "std": [0.3760]},
    "augment": {"pad": 2},
    "sessions": {"base": 6, "way": 2, "count": 2, "shots": 4},
    "backbone": {"name": "resnet20"},
}


def test_every_setting_is_classified() -> None:
    """A new field must be put where it belongs: into the identity, or among what changes no number."""
    assert set(Protocol.model_fields) == set(IN_THE_IDENTITY) | PRESENTATION | CHOSEN_PER_RUN | CHECKED_NOT_CHOSEN
    assert {field.name for field in fields(Settings)} == RUNTIME
    assert {field.name for field in fields(Request)} == {"protocol", "recipe", "split", "seeds", "variants", "overrides", "changes"}
    shown = {"name", "title", "claim", "reference", "also_against", "axis", "figures"}
    assert set(Study.model_fields) - {"variants", "seeds", "recipe"} == shown, "never run"
    assert set(StudyVariant.model_fields) - {"method", "set"} == {"label"}


@pytest.mark.parametrize("field", IN_THE_IDENTITY)
def test_changing_what_is_measured_changes_the_run(field: str, tiny: Protocol) -> None:
    changed = Protocol.model_validate(tiny.model_dump(mode="json") | {field: IN_THE_IDENTITY[field]})
    assert runs_of(changed, "base_only") != runs_of(tiny, "base_only")


@pytest.mark.parametrize("field", [name for name in Recipe.model_fields if name not in ("methods", "bases", "like")])
def test_changing_any_field_of_the_recipe_changes_the_run(field: str, tiny: Protocol) -> None:
    by_name = {"schedule": "constant", "optimizer": "adam", "precision": "bf16", "momentum": 0.5, "warmup": 0.5}
    by_name |= {"trains": "none", "stored_views": 2}
    value = by_name.get(field, other(tiny.recipes["fast"].model_dump(mode="json")[field]))
    needed = NEEDED_BY_ALL.get(field, {})
    assert runs_of(with_recipe(tiny, **needed, **{field: value}), "base_only") != runs_of(with_recipe(tiny, **needed), "base_only")


PLACES: list[dict[str, Any]] = [
    {},
    {"protocol": "other"},
    {"recipe": "paper"},
    {"split": "canonical"},
    {"variant": "topic:paper"},
    {"variant": "lecnet:code"},
    {"overrides": {"gamma": 0.6}},
    {"overrides": {"gamma": 0.61}},
    {"overrides": {"gamma": "0.6"}},
    {"overrides": {"gamma": -0.6}},
    {"overrides": {"gamma": None}},
    {"overrides": {"gamma": [0.6]}},
    {"overrides": {"gamma": 0.6, "lr": 0.1}},
    {"overrides": {"mode": "a/b"}},
    {"overrides": {"mode": "a b"}},
    {"overrides": {"mode": "a(b)"}},
    {"overrides": {"mode": "é"}},
    {"overrides": {"note": "x" * 300}},
    {"overrides": {"note": "x" * 300 + "y"}},
    {"overrides": {"path": "../../../etc"}},
    {"seed": 1},
    {"seed": 10},
    {"seed": 100},
]


def test_stems_are_safe_and_unique(make_identity: MakeIdentity) -> None:
    stems = [make_identity(**place).stem for place in PLACES]
    assert len({str(stem).lower() for stem in stems}) == len(PLACES), "unique, on file systems that ignore case too"
    for stem in stems:
        assert len(stem.parts) == 4
        for part in stem.parts:
            assert re.fullmatch(r"[A-Za-z0-9=.,_-]+", part), part
            assert part not in (".", "..")
            assert len(part) < 200


@pytest.mark.parametrize("recipe", ["quick/er", "../quick"])
def test_a_recipe_name_cannot_leave_its_folder(recipe: str, tiny: Protocol) -> None:
    """Recipes are keys of a user's YAML and name a folder: a protocol must refuse what is no plain name."""
    content = tiny.model_dump(mode="json")
    content["recipes"] = {recipe: content["recipes"]["fast"]}
    content["recipe"] = recipe
    with pytest.raises(ValueError, match="recipe"):
        Protocol.model_validate(content)


def test_variant_names(make_identity: MakeIdentity) -> None:
    assert make_identity("lecnet:paper").variant == "lecnet:paper"
    nested = [
        make_identity("lecnet:paper", overrides={"augment": given}).variant
        for given in ({"pad": 1, "flip": True}, {"flip": True, "pad": 1})
    ]
    assert nested == ['lecnet:paper[augment={"flip": true, "pad": 1}]'] * 2, "as a record has it, whose keys are sorted"
    changed = make_identity("lecnet:paper", overrides={"lr": 0.1, "gamma": 0.6})
    assert changed.variant == "lecnet:paper[gamma=0.6,lr=0.1]"
    assert changed.variant == make_identity("lecnet:paper", overrides={"gamma": 0.6, "lr": 0.1}).variant
    assert changed.stem.parts[2].startswith("lecnet-paper-gamma=0.6,lr=0.1")


@pytest.mark.parametrize(
    "changes", [{"title": "Another"}, {"notes": "A word."}, {"seeds": "0-4"}, {"methods": ["base_only"]}, {"without": ["der"]}]
)
def test_presentation_changes_no_run(changes: dict[str, Any], tiny: Protocol) -> None:
    changed = Protocol.model_validate(tiny.model_dump(mode="json") | changes)
    assert runs_of(changed, "base_only") == runs_of(tiny, "base_only")


def test_another_methods_settings_change_no_run(tiny: Protocol) -> None:
    assert runs_of(with_recipe(tiny, methods={"ft_cnn": {"epochs": 9}}), "base_only") == runs_of(tiny, "base_only")


def test_identities_survive_their_json(tiny: Protocol) -> None:
    """What is stored must equal what is asked for, or nothing is ever done: tuples, floats and nulls included."""
    for run in runs_of(tiny, ",".join(ON_IMAGES), ["lecnet.milestones=[1, 2]", "lecnet.branch_init_std=null", "lecnet.gamma=1"]):
        assert Identity.model_validate_json(run.model_dump_json()) == run
