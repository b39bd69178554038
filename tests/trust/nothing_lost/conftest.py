"""Runs of the user's own copy of the tiny protocol, through the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from tests.conftest import TINY

Run = Callable[..., int]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    """The user's own copy of the tiny protocol, under one name whatever it says."""
    path = tmp_path / "tiny.yaml"
    shutil.copy(TINY, path)
    return path


@pytest.fixture
def run(data_root: Path, results: Path, yaml: Path) -> Run:
    """One run through the command line, in this process."""

    def run(method: str = "proto", *options: str, seeds: str = "0", protocol: Path | None = None) -> int:
        places = ["--data-root", str(data_root), "--results", str(results), "--device", "cpu"]
        return main(["--protocol", str(protocol or yaml), "--methods", method, "--seeds", seeds, *places, *options])

    return run


def records(results: Path) -> dict[str, bytes]:
    """Path below records/ -> content, of whole records."""
    found = (path for path in (results / "records").rglob("seed*.json") if path.name.count(".") == 1)
    return {str(path.relative_to(results / "records")): path.read_bytes() for path in found}


def edit(yaml: Path, old: str, new: str) -> None:
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new, 1))
