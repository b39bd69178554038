"""What else may lie among the records: it is named, and neither hangs the report nor vanishes from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.matching import labels_of
from benchmarks.report.pictures import MAKERS, Material
from benchmarks.report.section import Section
from methods.contract.registry import MethodError, read_entry
from protocols.study import load_study


@pytest.fixture
def group(tmp_path: Path) -> Path:
    folder = tmp_path / "records" / "hand" / "quick.paper"
    folder.mkdir(parents=True)
    return folder


def faults(group: Path) -> list[str]:
    return Store(group.parents[2]).load("hand")[1]


def test_a_pipe_in_place_of_a_record_is_named(group: Path) -> None:
    (group / "proto-raw_mean").mkdir()
    os.mkfifo(group / "proto-raw_mean" / "seed00.json")
    assert faults(group) == ["hand/quick.paper/proto-raw_mean/seed00.json: not a file; remove it and run again"]


def test_a_file_in_place_of_a_folder_is_named(group: Path) -> None:
    (group / "proto-raw_mean").write_text("x")
    assert faults(group) == ["hand/quick.paper/proto-raw_mean: a file where a folder of records belongs; move it"]


def test_a_folder_that_cannot_be_listed_is_named(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, whom no folder refuses."""
    closed = group / "proto-raw_mean"
    closed.mkdir()
    iterdir = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert faults(group) == ["hand/quick.paper/proto-raw_mean: cannot be read (Permission denied); give yourself access to it"]


@pytest.mark.parametrize("title", ["two\\nlines", "\\ud800", "", "  ", "My\u00a0method"])
def test_a_title_that_would_break_a_page_is_refused(title: str, tmp_path: Path, methods_in: Callable[[Path], None]) -> None:
    (tmp_path / "mine.py").write_text(
        f'"""Mine."""\n\nfrom methods.contract import SessionStrategy\n\n\nclass Mine(SessionStrategy):\n    title = "{title}"\n'
    )
    methods_in(tmp_path)
    with pytest.raises(MethodError, match="title of Mine must be one line of printable text"):
        read_entry("mine")


def test_no_figure_where_no_session_has_a_value(make_record: Callable[..., Record]) -> None:
    """`count: 0`: without novel classes there is no harmonic mean."""
    sessions = {"base": 2, "way": 1, "count": 0, "shots": 5}
    records = [make_record("lecnet:paper", seed, ((8, 8),), logs=({},), sessions=sessions) for seed in range(3)]
    section, study = Section("quick", "paper", {"lecnet:paper": records}), load_study("components")
    material = Material(study, section, labels_of(study, records), None, Store(Path()))
    assert MAKERS["hm"](material) == []
    assert len(MAKERS["accuracy"](material)) == 1
