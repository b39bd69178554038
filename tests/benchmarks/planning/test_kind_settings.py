"""Settings of base kinds: who says them, what a recipe changes for one kind alone, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.planning.validation import check_protocol
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from methods.contract.registry import MethodError, base_kind_names
from protocols.schema import BaseRecipe, Protocol
from tests.benchmarks.planning.conftest import placed, runs_of, with_recipe


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
