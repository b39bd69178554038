"""Files of printed rows that are wrong, and those that are not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from protocols import ProtocolError, load_protocol, load_published, load_published_study, loading, printed, printed_beside
from protocols.printed import PublishedRow


def test_what_is_not_there() -> None:
    assert load_published("digits") == load_published("nowhere") == ()
    assert load_published_study("tsne") is None


# Files that are wrong -----------------------------------------------------------------------------------------------------

ROW: dict[str, Any] = {"method": "ft_cnn", "label": "Ft", "source": "x", "accuracy": [1.0], "backbone": "b"}
ROW |= {"split": "paper", "seeds": "1", "selection": "last"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", "high"),
        ("accuracy", [[1.0]]),
        ("split", 7),
        ("acuracy", [1.0]),
        ("label", None),
        ("backbone", "ResNet 18"),
        ("pretrained", "imagenet21k"),
        ("tolerance", 0),
        ("tolerance", True),
        ("misprint", "a\nb"),
        ("method", "Ft-CNN"),
    ],
)
def test_bad_published_row(key: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "published").mkdir()
    file = tmp_path / "published" / "mine.yaml"
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    file.write_text(yaml.safe_dump([ROW]), encoding="utf-8")
    assert load_published("mine")[0].accuracy == (1.0,)
    file.write_text(yaml.safe_dump([ROW, {**ROW, key: value}]), encoding="utf-8")
    with pytest.raises(ProtocolError, match=rf"{re.escape(str(file))}: .*1\.{key}") as caught:
        load_published("mine")
    assert len(str(caught.value).splitlines()) == 1


def test_a_row_of_no_method_says_so_and_has_no_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`method: null` must be written: a forgotten key is no statement."""
    assert PublishedRow.model_validate({**ROW, "method": None}).method is None
    (tmp_path / "published").mkdir()
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    without = {key: value for key, value in ROW.items() if key != "method"}
    for row, said in [({**ROW, "method": None, "presets": ["topic"]}, "presets must be of a method"), (without, "method: is required")]:
        (tmp_path / "published" / "mine.yaml").write_text(yaml.safe_dump([row]), encoding="utf-8")
        with pytest.raises(ProtocolError, match=said):
            load_published("mine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": {}}, "values"),
        ({"values": {"SA": 131.96}}, "values.SA: must be at most 100"),
        ({"values": {"SA": "31.96"}}, "values.SA: must be a number"),
        ({"values": {"SA": True}}, "values.SA: must be a number"),
        ({"values": {"SA": None}}, "values.SA: must be a number"),
        ({"values": {0.2: 23.8}}, "values.0.2: must be text; put it in quotes"),
        ({"values": [31.96]}, "values: must be a mapping"),
        ({"protocol": "cub20"}, "Did you mean 'cub200'"),
        ({"split": "leck"}, "split: must be"),
        ({"sorce": "x"}, "unknown key 'sorce'. Did you mean 'source'"),
    ],
    ids=str,
)
def test_bad_printed_study(change: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = loading.FOLDER / "published" / "studies" / "components.yaml"
    content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    (tmp_path / "published" / "studies").mkdir(parents=True)
    (tmp_path / "cub200.yaml").write_bytes((loading.FOLDER / "cub200.yaml").read_bytes())
    file = tmp_path / "published" / "studies" / "mine.yaml"
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_published_study("mine") is not None
    file.write_text(yaml.safe_dump({**content, **change}), encoding="utf-8")
    with pytest.raises(ProtocolError, match=re.escape(said)) as caught:
        load_published_study("mine")
    assert str(caught.value).startswith(f"{file}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "- 1", "7"])
def test_a_printed_study_that_is_no_mapping(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "published" / "studies").mkdir(parents=True)
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    (tmp_path / "published" / "studies" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProtocolError, match="mapping"):
        load_published_study("mine")


def test_rows_stand_beside_no_other_data_or_sessions() -> None:
    """A copy of a shipped file with a folder of one's own in it keeps the name, and would be judged by the paper's figures."""
    cifar = load_protocol("cifar100")
    assert printed_beside(cifar) == load_published("cifar100") != ()
    own = cifar.model_copy(update={"data": cifar.data.model_copy(update={"source": "folder", "path": "digits"})})
    assert printed_beside(own) == ()
    assert printed_beside(own.model_copy(update={"name": "mine", "printed": "cifar100"})) == load_published("cifar100"), "it says so"
    fewer = cifar.model_copy(update={"sessions": cifar.sessions.model_copy(update={"way": 1})})
    assert printed_beside(fewer) == printed_beside(fewer.model_copy(update={"name": "mine", "printed": "cifar100"})) == ()
    for name in ("cub200-resnet18b", "cub200-features", "cub200-lite0", "miniimagenet-32"):
        assert printed_beside(load_protocol(name)) != ()
