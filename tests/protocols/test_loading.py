"""Every way a protocol file can be wrong ends in one line that names the file and the key."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from protocols import ProtocolError, load_protocol, loading, protocol_names
from protocols import reading as reading_yaml
from protocols.backbones import Weights
from protocols.reading import names_in, read_yaml
from protocols.schema import Augment, Backbone, Canonical, Data, Protocol, Recipe, Sessions
from protocols.unchanged import kept_unchanged

Path_ = tuple[str, ...]

VALID: dict[str, Any] = {  # every key there is
    "name": "mine",
    "title": "Mine",
    "data": {
        "source": "folder",
        "path": "mine/images",
        "classes": 12,
        "size": 32,
        "train_size": 40,
        "channels": 3,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "features": None,
        "texts": False,
    },
    "augment": {
        "pad": 4,
        "flip": True,
        "jitter": 0.4,
        "hue": 0.1,
        "jitter_p": 0.8,
        "scale": [0.25, 1.0],
        "ratio": [0.9, 1.1],
        "crop_or_resized": True,
        "autoaugment": "cifar10",
        "autoaugment_p": 0.5,
        "grey": 0.2,
        "cutout": 16,
    },
    "sessions": {"base": 6, "way": 2, "count": 3, "shots": 5},
    "backbone": {
        "name": "module:own",
        "pretrained": "imagenet",
        "weights": {"file": "own.pth", "sha256": "0" * 64, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "novel_seen": "no"},
        "source": "0" * 64,
    },
    "recipes": {
        "paper": {
            "epochs": 10,
            "batch": 64,
            "lr": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.0005,
            "schedule": "step",
            "milestones": [6],
            "gamma": 0.1,
            "warmup": 0.2,
            "dampening": 0.0,
            "optimizer": "sgd",
            "floor": 0.0,
            "ramp_epochs": 0.5,
            "ramp_from": 0.1,
            "head_gain": 1.0,
            "precision": "fp32",
            "trains": "last_block",
            "stored_views": 2,
            "like": None,
            "bases": {"projected": {"lr": 0.2}},
            "methods": {"ft_cnn": {"lr": 0.1}},
        }
    },
    "recipe": "paper",
    "splits": ["paper"],
    "seeds": "0-9",
    "methods": ["ft_cnn"],
    "without": ["der"],
    "canonical": {"base_train": 30, "base_test": 30, "shots_sha256": "0" * 64},
    "printed": "cub200",
    "notes": "none",
}
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


def at(content: dict[str, Any], path: Path_) -> Any:
    for part in path:
        content = content[part]
    return content


def changed(path: Path_, value: Any) -> dict[str, Any]:
    """The valid protocol with one value replaced or added."""
    content = copy.deepcopy(VALID)
    at(content, path[:-1])[path[-1]] = value
    return content


def load(folder: Path, content: Any) -> Protocol:
    file = folder / "mine.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return load_protocol(str(file))


def refused(folder: Path, content: Any) -> str:
    """What is said about a bad file: one line that names it. The file's name is left out of the answer."""
    with pytest.raises(ProtocolError) as caught:
        load(folder, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert message.startswith(f"{folder / 'mine.yaml'}:"), message
    return message.removeprefix(f"{folder / 'mine.yaml'}:").strip()


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


@pytest.mark.parametrize("name", ["yours", "Mine", "mine.yaml", "my ne", "-mine", ""])
def test_name_that_is_not_the_files(name: str, tmp_path: Path) -> None:
    assert refused(tmp_path, changed(("name",), name)).startswith("name")


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: b: c", "\t- a", "a: \x07", "a: &x 1\nb: *y", "a: 1\n b: 2", "title: 2024-13-45", "{", "'", "[" * 5000],
    ids=lambda text: repr(text[:20]),
)
def test_not_yaml(text: str, tmp_path: Path) -> None:
    assert "YAML" in refused(tmp_path, text)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ProtocolError, match=r"mine\.yaml: cannot be read") as caught:
        load_protocol(str(tmp_path / "mine.yaml"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "# nothing yet", "- name: mine", "mine", "7"])
def test_yaml_that_is_not_a_mapping(text: str, tmp_path: Path) -> None:
    assert "mapping" in refused(tmp_path, text)


def test_python_objects_are_not_built(tmp_path: Path) -> None:
    """yaml.safe_load: a protocol is data, and nothing that it names is run."""
    witness = tmp_path / "ran"
    message = refused(tmp_path, f"name: !!python/object/apply:os.mkdir [{witness}]")
    assert "python/object" in message
    assert not witness.exists()


@pytest.mark.parametrize("file", ["nowhere.yaml", "folder.yaml"])
def test_file_that_cannot_be_opened(file: str, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ProtocolError, match=re.escape(str(tmp_path / file))) as caught:
        load_protocol(str(tmp_path / file))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("cifar10", "cifar100"), ("cub", "cub200"), ("CUB200", "cub200"), ("mini-imagenet", "miniimagenet"), ("digit", "digits")],
)
def test_wrong_name_is_answered_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        load_protocol(wrong)
    message = str(caught.value)
    assert f"Did you mean {right!r}?" in message
    assert len(message.splitlines()) == 1


def test_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(ProtocolError) as caught:
        load_protocol("zzzzzz")
    assert "Did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in protocol_names())


def test_a_shipped_protocol_is_also_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, by relative path and by absolute path it is the same one."""
    monkeypatch.chdir(loading.FOLDER.parent)
    assert load_protocol("protocols/digits.yaml") == load_protocol("digits")
    assert load_protocol(str(loading.FOLDER / "digits.yaml")) == load_protocol("digits")


def test_a_file_of_the_suite_is_read_once_while_it_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page asks for all studies. What is kept is nobody's to change, and a change of the file is seen."""
    path, read = tmp_path / "mine.yaml", list[Path]()
    alone = VALID | {"printed": None}  # the only protocol of that folder

    def reading(path: Path) -> Any:
        read.append(path)
        return read_yaml(path)

    path.write_text(yaml.safe_dump(alone))
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    monkeypatch.setattr(reading_yaml, "kept_yaml", kept_unchanged(reading))
    content = reading_yaml.content_of_shipped(path)
    content["recipes"].clear()
    assert load_protocol("mine") == load_protocol("mine") == load_protocol(str(path))
    assert read == [path]
    path.write_text(yaml.safe_dump(alone | {"title": "Another"}))
    assert load_protocol("mine").title == "Another"
    path.unlink()
    with pytest.raises(ProtocolError, match="no such file"):
        reading_yaml.content_of_shipped(path)


def test_an_editors_hidden_files_are_no_protocols(tmp_path: Path) -> None:
    (tmp_path / "birds.yaml").touch()
    (tmp_path / ".#birds.yaml").symlink_to("nobody@nowhere")
    assert names_in(tmp_path) == ["birds"]
