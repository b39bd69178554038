"""A base model of another machine: used where all but the environment agrees, and told in the record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import read_key, read_tensors, write_tensors
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.methods.runs import identity_of

ELSEWHERE = {"device": "NVIDIA H200", "precision": "fp32"}


@pytest.fixture
def trained(tiny: Protocol, settings: Settings) -> tuple[Runner, Path, BaseKey]:
    runner = Runner(tiny, settings)
    runner.enter(identity_of(tiny, "proto"))
    [path] = (settings.results / ".base").glob("*.safetensors")
    key = read_key(path)
    assert key is not None
    return runner, path, key


def put(path: Path, key: BaseKey, only: int | None = None, **changes: object) -> BaseKey:
    """That base model in taken/, as if another machine had trained it under a key with these changes; all weights of the head are 1, and
    it has only its first `only` rows (None: all)."""
    state = read_tensors(path, key)
    assert state is not None
    state["head.weight"] = torch.ones_like(state["head.weight"][:only])
    theirs = BaseKey({**key.fields, "environment": ELSEWHERE, **changes})
    write_tensors(path.parent / "taken" / f"{theirs.stem}.safetensors", theirs, state)
    return theirs


def test_it_is_used_and_told(trained: tuple[Runner, Path, BaseKey], tiny: Protocol) -> None:
    runner, path, key = trained
    (path.parent / "taken").mkdir()
    put(path, key)
    path.unlink()
    record = runner.run(identity_of(tiny, "base_only"))[0]
    assert record.environment["base trained with"] == "device NVIDIA H200, precision fp32"
    assert record.environment["device"] != "NVIDIA H200"
    assert float(runner.enter(identity_of(tiny, "base_only")).strategy.model.head.weight.min()) == 1.0
    assert not path.exists(), "no training here"


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"rows": "0"}, {"environment": {**ELSEWHERE, "precision": "bf16"}}, {"base": "path"}], ids=str
)
def test_another_one_is_not(changes: dict[str, Any], trained: tuple[Runner, Path, BaseKey], tiny: Protocol) -> None:
    runner, path, key = trained
    (path.parent / "taken").mkdir()
    put(path, key, **changes)
    put(path, key, only=1, environment={**ELSEWHERE, "device": "of another network"})
    damaged = put(path, key)
    file = path.parent / "taken" / f"{damaged.stem}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    contender = runner.enter(identity_of(tiny, "proto"))
    assert "base trained with" not in contender.environment
    assert float(contender.strategy.model.head.weight.min()) < 1.0


def test_a_key_is_in_the_header_and_the_body_is_not_read(tmp_path: Path) -> None:
    """A folder may hold many large bodies. The one that is used is verified."""
    path, key = tmp_path / "a.safetensors", BaseKey({"seed": 1, "environment": ELSEWHERE})
    write_tensors(path, key, {"weight": torch.ones(1000)})
    content = path.read_bytes()
    for damaged in (content[:-1] + b"!", content[:-4000]):
        path.write_bytes(damaged)
        assert read_key(path) == key
        assert read_tensors(path, key) is None


SEAL = bytes(32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"half a seal",
        SEAL + b"\xff" * 8 + b"{}",  # a header of 2^64 - 1 bytes
        SEAL + (1).to_bytes(8, "little") + b"{",
        SEAL + (2).to_bytes(8, "little") + b"[]",
        SEAL + (3).to_bytes(8, "little") + b"\xff{}",
    ],
)
def test_no_such_file_has_no_key(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert read_key(tmp_path / "a.safetensors") is None
    os.mkfifo(tmp_path / "pipe")
    assert read_key(tmp_path / "pipe") is read_key(tmp_path) is None


@pytest.mark.parametrize("said", ["no JSON", "[1]", '{"environment": 3}'])
def test_a_header_that_says_something_else_is_passed_over(said: str, trained: tuple[Runner, Path, BaseKey], tiny: Protocol) -> None:
    runner, path, _ = trained
    (path.parent / "taken").mkdir()
    body = save({"weight": torch.ones(1)}, metadata={"key": said})
    (path.parent / "taken" / "a.safetensors").write_bytes(bytes(32) + body)
    path.unlink()
    assert "base trained with" not in runner.enter(identity_of(tiny, "proto")).environment
