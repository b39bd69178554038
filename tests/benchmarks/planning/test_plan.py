"""From names to runs: what makes a run this run."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest

from benchmarks.planning.plan import Request, identities, make_request
from benchmarks.planning.validation import check_protocol
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.loading import load_method
from methods.contract.registry import MethodError, base_kind_names, read_entry
from protocols import load_protocol, protocol_names
from protocols.schema import BaseRecipe, Protocol, Recipe
from protocols.study import Study, StudyVariant
from tests.benchmarks.conftest import MakeIdentity
from tests.benchmarks.planning.conftest import runs_of, with_recipe
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


def placed(run: Identity) -> str:
    """Where it lies once its images and its precision are known."""
    return str(run.model_copy(update={"images": "c" * 64, "precision": "fp32"}).stem)


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


@pytest.mark.parametrize("base", base_kind_names())
def test_a_recipe_changes_one_base_alone(base: str, tiny: Protocol) -> None:
    """Recipe.bases: in the identity of the runs that start from it, and of no other."""
    own = ["base_only", "lecnet:code", "ncm:original", "si"]  # one of each of these kinds
    methods = ",".join(
        [*own, *(f"base_only@{kind}" for kind in base_kind_names() if kind not in ("linear", "projected", "cosine", "path"))]
    )
    others = tiny.recipes["fast"].bases
    changes = {**others, base: {**others.get(base, {}), "epochs": 9, "lr": 0.7}}

    def of_training(bases: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        """What `bases` says of `name`'s training; a kind's own fields are in its Config."""
        return {key: value for key, value in bases.get(name, {}).items() if key in BaseRecipe.model_fields}

    plain, changed = runs_of(tiny, methods), runs_of(with_recipe(tiny, bases=changes), methods)
    assert {run.base for run in plain} == set(base_kind_names())
    for before, after in zip(plain, changed, strict=True):
        assert before.base_settings == of_training(others, before.base)
        assert after.base_settings == of_training(changes, before.base)
        unchanged = {"base_settings": before.base_settings, "base_parents": before.base_parents}
        assert after.model_copy(update=unchanged) == before, "the recipe's own settings stay what they are"
        stands_on = {before.base, *(parent.base for parent in before.base_parents)}
        assert (placed(after) == placed(before)) == (base not in stands_on)


def test_an_unknown_base_is_answered_with_the_nearest(tiny: Protocol) -> None:
    with pytest.raises(UsageError, match=r"tiny, recipe fast, bases: .*'pth'\. Did you mean 'path'\?") as caught:
        runs_of(with_recipe(tiny, bases={"pth": {"lr": 0.1}}), "base_only")
    assert "\n" not in str(caught.value)


def test_a_bases_settings_are_what_they_mean(tiny: Protocol) -> None:
    """YAML 1.1 reads 1e-2 as text: a run must neither be done again for it nor trip over it."""
    (run,) = runs_of(with_recipe(tiny, bases={"path": {"lr": "1e-2", "head_gain": "2e0", "milestones": [1]}}), "si")
    assert run.base_settings == {"lr": 0.01, "head_gain": 2.0, "milestones": [1]}
    assert Identity.model_validate_json(run.model_dump_json()) == run


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


@pytest.mark.parametrize("values", [{"lrr": 0.1}, {"methods": {}}, {"bases": {}}, {"scale": 3.0}], ids=str)
def test_what_neither_recipe_nor_base_kind_knows_is_named(values: dict[str, object], tiny: Protocol) -> None:
    """Even where no run uses the kind. (`scale` is known to another kind.)"""
    fast = tiny.recipes["fast"].model_copy(update={"bases": {"projected": values}})
    with pytest.raises(UsageError, match=f"base kind projected, tiny, recipe fast, bases: unknown key '{next(iter(values))}'"):
        check_protocol(tiny.model_copy(update={"recipes": {"fast": fast}}))


def test_a_kinds_augmentation_must_fit_the_images(tiny: Protocol) -> None:
    """digits has one channel, and images of 8 pixels. That of a method's sessions, too."""
    with pytest.raises(UsageError, match=r"ft_cnn:topic: augment\.pad is 8"):
        runs_of(tiny, "ft_cnn", ["ft_cnn.augment={pad: 8}"])
    for augment, said in (({"grey": 0.2}, "augment.grey needs data.channels: 3"), ({"pad": 8}, "augment.pad is 8")):
        fast = tiny.recipes["fast"].model_copy(update={"bases": {"cosine": {"augment": augment}}})
        with pytest.raises(UsageError, match=f"base kind cosine: {said}"):
            make_request(tiny.model_copy(update={"recipes": {"fast": fast}}), None, None, "0", "proto@cosine", [])


def test_settings_of_a_kind_come_from_method_recipe_and_command_line(tiny: Protocol) -> None:
    """In this order, after the kind's own defaults; and they stand in the label of a run where the command line sets them."""

    def config(methods: str, *texts: str, bases: dict[str, dict[str, object]] | None = None) -> dict[str, object]:
        fast = tiny.recipes["fast"].model_copy(update={"bases": bases or {}})
        [run] = identities(make_request(tiny.model_copy(update={"recipes": {"fast": fast}}), None, None, "0", methods, list(texts)))
        return {"variant": run.variant, "scale": run.base_config["scale"], "epochs": run.base_recipe.epochs}

    own = tiny.recipes["fast"].epochs
    assert config("ncm:original") == {"variant": "ncm:original", "scale": 1.0, "epochs": own}, "the kind's default, LUCIR's"
    assert config("proto@cosine") == {"variant": "proto:raw_mean@cosine", "scale": 16.0, "epochs": own}
    recipe: dict[str, dict[str, object]] = {"cosine": {"scale": 4.0, "epochs": 9}}
    assert config("proto@cosine", bases=recipe) == {"variant": "proto:raw_mean@cosine", "scale": 4.0, "epochs": 9}
    said = config("proto@cosine", "cosine.scale=8", bases=recipe)
    assert said == {"variant": "proto:raw_mean@cosine[cosine.scale=8.0]", "scale": 8.0, "epochs": 9}
    assert said == config("proto@cosine", "@cosine.scale=8", bases=recipe)


@pytest.mark.parametrize(
    ("methods", "text", "said"),
    [
        ("proto", "cosine.scale=8", "none of the methods to run stands on base kind cosine"),
        ("proto@cosine", "cosine.scal=8", "Did you mean 'scale'"),
        ("proto@cosine", "cosine.scale=-1", "scale: must be greater than 0"),
        ("proto@cosin", "proto.mean=raw", "no base kind named 'cosin'"),
    ],
)
def test_a_wrong_kind_or_setting_is_one_line(methods: str, text: str, said: str, tiny: Protocol) -> None:
    with pytest.raises((UsageError, MethodError), match=said):
        identities(make_request(tiny, None, None, "0", methods, [text]))
