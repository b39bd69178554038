"""Files of protocols: what is no YAML, no text or no such file ends in one line; what is kept of them, and how they are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from protocols import ProtocolError, load_protocol, loading, protocol_names
from protocols import reading as reading_yaml
from protocols.reading import names_in, read_yaml
from protocols.unchanged import kept_unchanged
from tests.protocols.mine import VALID, changed, refused


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
