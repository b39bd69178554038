"""Every wrong value of a protocol ends in one line that names the file and the key."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from protocols.backbones import Weights
from protocols.schema import Augment, Backbone, Canonical, Data, Protocol, Recipe, Sessions
from tests.protocols.mine import VALID, Path_, at, changed, load, refused

SECTIONS: dict[Path_, type[BaseModel]] = {
    (): Protocol,
    ("data",): Data,
    ("augment",): Augment,
    ("sessions",): Sessions,
    ("backbone",): Backbone,
    ("backbone", "weights"): Weights,
    ("recipes", "paper"): Recipe,
    ("canonical",): Canonical,
}
FIELDS = [(*section, field) for section, model in SECTIONS.items() for field in model.model_fields]
FIELDS.remove(("recipes", "paper", "like"))  # names another recipe: test_like.py
FIELDS.remove(("data", "features"))  # stands in place of images: tests/benchmarks/data/test_stored_features.py
MAY_BE_ZERO = {f"augment.{name}" for name in ("pad", "jitter", "hue", "grey", "cutout")} | {"sessions.count"}
MAY_BE_ZERO |= {f"recipes.paper.{name}" for name in ("weight_decay", "dampening", "floor", "ramp_epochs", "ramp_from")}
ANY_NUMBER = {"data.mean", "backbone.weights.mean", "backbone.weights.std"}


def names_key(message: str, path: Path_) -> bool:
    """`section.key: ...`, an item of it, or `section: ... key ...` where a rule joins several keys."""
    said = message.split(" (got")[0]
    section = re.escape(".".join(path[:-1]) or "the file")
    return re.search(rf"^{re.escape('.'.join(path))}(\.\d+)?: |^{section}: .*\b{path[-1]}\b", said) is not None


def numbers() -> Iterator[tuple[Path_, Any]]:
    """Every field that holds a number or a list of them, with its valid value."""
    for path in FIELDS:
        value = at(VALID, path)
        first = value[0] if isinstance(value, list) else value
        if isinstance(first, int | float) and not isinstance(first, bool):
            yield path, value


def instead(value: Any, number: float) -> Any:
    return [number] * len(value) if isinstance(value, list) else number


def wrong_types() -> Iterator[tuple[Path_, Any]]:
    by_type: dict[type, list[Any]] = {
        bool: ["perhaps", [True], {"a": 1}],
        int: ["many", [1], {"a": 1}, 1.5, True],
        float: ["many", [1], {"a": 1}, True],
        str: [7, ["x"], {"a": 1}],
        list: ["text", 7, {"a": 1}],
        dict: ["text", 7, ["a"]],
    }
    for path in FIELDS:
        section = SECTIONS[path[:-1]]
        nothing = [] if section.model_fields[path[-1]].default is None else [None]
        for value in by_type[type(at(VALID, path))] + nothing:
            yield path, value


def label(value: Any) -> str:
    return ".".join(value) if isinstance(value, tuple) else repr(value)


def test_the_valid_example_is_valid_and_complete(tmp_path: Path) -> None:
    """A new key of the schema must be added to the example, and so meets every test below."""
    protocol = load(tmp_path, VALID)
    assert protocol.model_dump(mode="json") == VALID
    for path, model in SECTIONS.items():
        assert set(at(VALID, path)) == set(model.model_fields)


@pytest.mark.parametrize("path", FIELDS, ids=label)
def test_unknown_key_beside_a_known_one(path: Path_, tmp_path: Path) -> None:
    typo = f"{path[-1]}x"
    message = refused(tmp_path, changed((*path[:-1], typo), 1))
    assert message == f"unknown key {'.'.join([*path[:-1], typo])!r}. Did you mean {path[-1]!r}?"


@pytest.mark.parametrize("path", FIELDS, ids=label)
def test_misspelt_key(path: Path_, tmp_path: Path) -> None:
    """The user sees the key that he wrote, and the one that he meant, even where that one is required."""
    content = copy.deepcopy(VALID)
    section = at(content, path[:-1])
    section[f"{path[-1]}x"] = section.pop(path[-1])
    message = refused(tmp_path, content)
    assert f"{path[-1]}x" in message.split(" (got")[0]
    assert f"{path[-1]!r}" in message


@pytest.mark.parametrize("path", [(*p, f) for p, m in SECTIONS.items() for f, i in m.model_fields.items() if i.is_required()], ids=label)
def test_missing_key(path: Path_, tmp_path: Path) -> None:
    content = copy.deepcopy(VALID)
    del at(content, path[:-1])[path[-1]]
    message = refused(tmp_path, content)
    assert message.startswith(f"{'.'.join(path)}: ")
    assert "required" in message


@pytest.mark.parametrize(("path", "value"), list(wrong_types()), ids=label)
def test_wrong_type(path: Path_, value: Any, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, value))
    assert names_key(message, path), message


@pytest.mark.parametrize(("path", "value"), [n for n in numbers() if label(n[0]) not in ANY_NUMBER], ids=label)
def test_negative_number(path: Path_, value: Any, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, instead(value, -1)))
    assert names_key(message, path), message


@pytest.mark.parametrize(("path", "value"), [n for n in numbers() if label(n[0]) not in MAY_BE_ZERO | ANY_NUMBER], ids=label)
def test_zero(path: Path_, value: Any, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, instead(value, 0)))
    assert names_key(message, path), message


@pytest.mark.parametrize("path", [n[0] for n in numbers() if label(n[0]) in MAY_BE_ZERO], ids=label)
def test_zero_that_has_a_meaning(path: Path_, tmp_path: Path) -> None:
    assert load(tmp_path, changed(path, 0)).name == "mine"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("path", "value"), list(numbers()), ids=label)
def test_number_that_is_not_finite(path: Path_, value: Any, number: float, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, instead(value, number)))
    assert names_key(message, path), message


@pytest.mark.parametrize(
    ("path", "value", "right"),
    [
        (("data", "source"), "cifar10", "cifar100"),
        (("data", "channels"), 2, "3"),
        (("sessions", "shots"), "al", "all"),
        (("augment", "autoaugment"), "cifar100", "cifar10"),
        (("recipes", "paper", "schedule"), "steps", "step"),
        (("recipes", "paper", "schedule"), "cosin", "cosine"),
        (("recipes", "paper", "optimizer"), "adamw", "adam"),
        (("recipes", "paper", "precision"), "fp16", "bf16"),
        (("recipe",), "papr", "paper"),
        (("splits",), ["papr"], "paper"),
    ],
    ids=label,
)
def test_wrong_choice_is_answered_with_the_right_ones(path: Path_, value: Any, right: str, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, value))
    assert names_key(message, path), message
    assert re.search(rf"\b{right}\b", message.split(" (got")[0]), message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "mean"), [0.5]),
        (("data", "std"), [0.2, 0.2]),
        (("data", "path"), None),  # source: folder needs it
        (("data", "train_size"), 32),  # not above size
        (("data", "classes"), 11),  # the sessions need 12
        (("augment", "jitter"), 1.0),
        (("augment", "hue"), 0.6),
        (("augment", "scale"), [0.5, 0.4]),
        (("augment", "scale"), [0.5, 1.1]),
        (("augment", "scale"), [0.5]),
        (("augment", "scale"), None),  # ratio and crop_or_resized need it
        (("augment", "ratio"), [1.1, 0.9]),
        (("augment", "ratio"), [0.01, 1]),
        (("augment", "crop_or_resized"), False),  # pad would have no effect
        (("augment", "autoaugment"), None),  # autoaugment_p needs it
        (("augment", "cutout"), 33),  # larger than the image
        (("augment", "pad"), 32),
        (("recipes", "paper", "momentum"), 1.0),
        (("recipes", "paper", "gamma"), 1.1),
        (("recipes", "paper", "dampening"), 0.9),  # torch's Nesterov momentum has none
        (("recipes", "paper", "floor"), 0.1),  # of cosine
        (("recipes", "paper", "schedule"), "cosine"),  # has no milestones
        (("recipes", "paper", "schedule"), "onecycle"),  # has a warm-up of its own
        (("recipes", "paper", "ramp_epochs"), 10.5),
        (("recipes", "paper", "trains"), "all"),  # nothing is frozen whose outputs could be stored
        (("splits",), []),
    ],
    ids=label,
)
def test_values_that_do_not_go_together(path: Path_, value: Any, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(path, value))
    assert path[-1] in message.split(" (got")[0], message


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"projected": {"precision": "bf16"}}, "precision"),  # one for the whole run: a base of its own would be without effect
        ({"projected": {"lr": -1}}, "lr"),
        ({"projected": {"lr": True}}, "lr"),
        ({"projected": {"epochs": "many"}}, "epochs"),
        ({"projected": 7}, "projected"),
        ({"path": {"lr": 0.1}, "projected": {"schedule": "steps"}}, "schedule"),
    ],
    ids=str,
)
def test_a_wrong_setting_of_a_base_is_named_with_its_base(settings: dict[str, Any], named: str, tmp_path: Path) -> None:
    """The recipe has an lr of its own: to say `recipes.paper.lr` would send the user to the wrong line."""
    message = refused(tmp_path, changed(("recipes", "paper", "bases"), settings))
    said = message.split(" (got")[0]
    for word in ("recipes.paper", "bases", "projected", named):
        assert re.search(rf"\b{re.escape(word)}\b", said), message


@pytest.mark.parametrize("source", ["cifar100", "digits"])
def test_path_goes_with_a_folder_only(source: str, tmp_path: Path) -> None:
    assert names_key(refused(tmp_path, changed(("data", "source"), source)), ("data", "path"))


@pytest.mark.parametrize("path", ["/etc", "..", "../other", "a/../../b", "a/.."])
def test_path_that_leaves_the_data_root(path: str, tmp_path: Path) -> None:
    message = refused(tmp_path, changed(("data", "path"), path))
    assert message.startswith("data.path: ")
    assert "relative path" in message


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-3 as text; it is a number here."""
    text = yaml.safe_dump(VALID).replace("lr: 0.1\n        ", "lr: 1e-3\n        ").replace("weight_decay: 0.0005", "weight_decay: 5e-4")
    assert load(tmp_path, text).recipes["paper"].weight_decay == 5e-4
