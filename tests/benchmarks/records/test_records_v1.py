"""Records of schemas 1 and 2, as earlier releases wrote them: they load for ever. Files under tests/data/records_v1 are never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.metrics.accuracy import micro
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun
from benchmarks.records.reading import read_record, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.benchmarks.records.older import FILES, OLD, as_written_by

LAST = {"cifar100": "38.16", "digits": "66.11", "omniglot": "49.30", "seqmnist": "84.66"}


def name(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_loads_and_nothing_is_lost(path: Path) -> None:
    record = read_record(path)
    assert record.schema_version == 1
    assert all(session.numbers_kept is None for session in record.sessions)
    whole = path.read_bytes()
    assert as_written_by(1, record, first=b"base_settings" not in whole) == whole


@pytest.mark.parametrize("protocol", LAST)
def test_stands_in_the_store_with_its_figures(protocol: str) -> None:
    records, faults, failures = Store(OLD).load(protocol)
    assert (faults, failures) == ([], [])
    assert len(records) == sum(protocol in path.parts for path in FILES)
    assert f"{micro(records[-1].sessions[-1].correct, records[-1].sessions[-1].total):.2f}" == LAST[protocol]


def test_schema_1_promises_no_more_than_it_had(tmp_path: Path) -> None:
    content = json.loads(FILES[0].read_bytes())
    content["sessions"][0]["numbers_kept"] = 0
    path = tmp_path / "seed00.json"
    path.write_bytes(to_json(content))
    with pytest.raises(RecordError, match="numbers_kept belongs to records of schema 2"):
        read_record(path)


# In a folder without digits, where no release writes any more ---------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize(("schema", "first"), [(1, True), (1, False), (2, False)])
def test_an_older_record_still_counts(schema: int, first: bool, store: Store, make_record: MakeRecord, make_identity: MakeIdentity) -> None:
    """Hours of work."""
    path = store.root / "hand" / "quick.paper" / "lecnet-paper" / "seed03.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(as_written_by(schema, make_record("lecnet:paper", 3), first))
    ((record,), faults, failures) = store.load("hand")
    wanted = make_identity("lecnet:paper", 3)
    assert record.identity == wanted.model_copy(update={"defaults": ()}), "it does not say which values were defaults"
    assert (faults, failures) == ([], [])
    assert store.find(wanted) == record
    assert store.find(make_identity("lecnet:paper", 3, base_settings={"lr": 0.2})) is None
    path.rename(path.with_name("seed04.json"))
    assert len(store.load("hand")[1]) == 1, "its place is checked, too"


@pytest.fixture
def new(store: Store, make_record: MakeRecord, costs: Costs) -> Record:
    record = make_record("lecnet:paper", 3)
    store.save(record, costs, b"")
    return read_record(store.path(record.identity, ".json"))


def test_a_new_record_takes_the_place_of_an_older_one(store: Store, new: Record) -> None:
    """Which is touched no more: it is no copy to be named."""
    path = store.root / new.identity.old_folder / new.path.name
    path.parent.mkdir()
    path.write_bytes(as_written_by(2, new))
    assert store.load("hand") == ([new], [], [])
    assert store.find(new.identity) == new
    new.path.unlink()
    found = store.find(new.identity)
    assert found is not None
    assert (found.path, found.schema_version) == (path, 2)


def test_a_note_of_a_failure_is_of_the_run_that_it_names(store: Store, new: Record) -> None:
    """It has no identity; where the run is done, it is old news."""
    folder = store.root / new.identity.old_folder
    folder.mkdir()
    for seed in (3, 4):
        note = {"variant": "lecnet:paper", "seed": seed, "error": "boom", "trace": ""}
        (folder / f"seed{seed:02d}.failed.json").write_bytes(to_json(note))
    assert store.load("hand") == ([new], [], [FailedRun("quick.paper", "lecnet:paper", 4, "boom")])
