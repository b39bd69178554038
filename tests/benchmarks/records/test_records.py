"""Records: whole or not there, and the same bytes from the same content."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from benchmarks.records import store as records
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.reading import read_record, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.system.errors import StorageError
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.records.conftest import save


def test_round_trip(store: Store, saved: Record, costs: Costs) -> None:
    read = read_record(store.path(saved.identity, ".json"))
    assert read == saved
    assert store.load("hand") == ([saved], [], [])
    assert store.find(saved.identity) == saved
    assert costs_of(read) == costs
    assert read.beside(".npz").read_bytes() == b"predictions"
    assert store.load("another") == ([], [], [])
    assert store.protocols() == ["hand"]


def test_files_stand_where_the_documentation_says(store: Store, saved: Record) -> None:
    found = sorted(path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file())
    folder = Path(found[0]).parent
    assert re.fullmatch(r"hand/quick\.paper/lecnet-paper-[0-9a-f]{8}", folder.as_posix())
    assert found == [f"{folder}/seed03.cost.json", f"{folder}/seed03.json", f"{folder}/seed03.npz"]


def test_stores_are_found_below_a_results_folder(store: Store, saved: Record, make_record: MakeRecord, costs: Costs) -> None:
    """A search's, too; and no folder of records is taken for another results folder."""
    results = store.root.parent
    save(Store(results / "search"), make_record(recipe="records"), costs)
    (saved.path.parent / "records").mkdir()
    assert [found.root for found in stores_below(results)] == [results / "records", results / "search" / "records"]


def test_the_record_is_written_last(store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record is, the run is done: a kill before it must leave the run undone."""
    written: list[str] = []
    whole = records.write_atomic

    def write(path: Path, content: bytes) -> None:
        if path.name == "seed00.json":
            raise KeyboardInterrupt  # killed just before
        written.append(path.name)
        whole(path, content)

    monkeypatch.setattr(records, "write_atomic", write)
    record = make_record()
    with pytest.raises(KeyboardInterrupt):
        store.save(record, costs, b"predictions")
    assert sorted(written) == ["seed00.cost.json", "seed00.npz"]
    assert store.find(record.identity) is None
    assert store.load("hand") == ([], [], [])


def test_a_write_that_fails_leaves_the_old_record_and_no_rubbish(
    store: Store, saved: Record, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}

    def broken(source: str, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(StorageError, match="disk full"):
        store.save(saved, costs, b"others")
    assert {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()} == before


def test_json_bytes_depend_on_the_content_alone() -> None:
    one = to_json({"b": 0.1, "a": [1, 2], "ü": None})
    assert one == to_json({"ü": None, "a": [1, 2], "b": 0.1})
    assert one.endswith(b"}\n")
    assert json.loads(one) == {"a": [1, 2], "b": 0.1, "ü": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError):
        to_json({"tau": value})


def test_saving_twice_gives_the_same_bytes(store: Store, saved: Record, costs: Costs) -> None:
    path = store.path(saved.identity, ".json")
    before = path.read_bytes()
    store.save(read_record(path), costs, b"predictions")
    assert path.read_bytes() == before
