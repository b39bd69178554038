"""Sharing runs among workers, and what becomes of those that fail."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.ledger import Ledger
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.reading import seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.sweeping.processes import rotated
from benchmarks.sweeping.progress import Event
from benchmarks.sweeping.worker import Task, one_run
from benchmarks.system.errors import DataError, StorageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]


class Ending:
    """A runner whose runs end so: in an error, or in what is to be stored."""

    def __init__(self, end: Any) -> None:
        self.end = end

    def watch(self, *arguments: Any) -> Any:
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


@pytest.fixture
def task(hand: Protocol, tmp_path: Path) -> Task:
    return Task(hand, Settings(tmp_path, tmp_path, "cpu", 1), Ledger(Store(tmp_path)), 0.0, "this sweep")


def run(task: Task, identity: Identity, end: Any) -> list[Event]:
    """What is said of one run that ends so."""
    events: list[Event] = []
    one_run(lambda: Ending(end), task, identity, events.append)  # type: ignore[arg-type, return-value]
    return events


@pytest.mark.parametrize("error", [RuntimeError("first line\nsecond"), SystemExit(0), MemoryError()])
def test_a_run_that_fails_in_any_way_is_noted_and_does_not_stop_the_worker(
    error: BaseException, make_identity: MakeIdentity, task: Task
) -> None:
    identity = make_identity()
    events = run(task, identity, error)
    assert [event.kind for event in events] == ["start", "failed"]
    assert type(error).__name__ in events[-1].text
    assert "\n" not in events[-1].text
    assert task.store.path(identity, ".failed.json").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EFBIG])
def test_a_disk_that_refuses_is_no_failure(code: int, make_identity: MakeIdentity, task: Task) -> None:
    """Wherever in the run it does: it stops the sweep, and no run is called failed."""
    identity = make_identity()
    with pytest.raises(StorageError, match="somewhere: cannot be written"):
        run(task, identity, OSError(code, "no", "somewhere"))
    assert not task.store.path(identity, ".failed.json").exists()


def test_ctrl_c_is_no_failure(make_identity: MakeIdentity, task: Task) -> None:
    identity = make_identity()
    with pytest.raises(KeyboardInterrupt):
        run(task, identity, KeyboardInterrupt())
    assert not task.store.path(identity, ".failed.json").exists()


def test_data_that_goes_missing_before_the_first_run_fails_the_run_only(make_identity: MakeIdentity, task: Task) -> None:
    def no_runner() -> Any:
        raise DataError("digits: gone")

    events: list[Event] = []
    one_run(no_runner, task, make_identity(), events.append)
    assert events[-1].text == "digits: gone"


def test_a_finished_run_is_stored_with_the_name_of_its_sweep(make_record: MakeRecord, costs: Costs, task: Task) -> None:
    record = make_record()
    events = run(task, record.identity, (record, costs, b"", {}))
    assert [event.kind for event in events] == ["start", "done"]
    assert events[-1].text == "40.00 %"
    found = task.ledger.record(record.identity)
    assert found is not None
    assert costs_of(found) == costs.model_copy(update={"sweep": "this sweep"})


def test_a_run_whose_place_a_later_release_holds_is_not_begun(make_record: MakeRecord, costs: Costs, task: Task) -> None:
    """Hours later its record could not be stored."""
    record = make_record()
    path = task.store.path(record.identity, ".json")
    path.parent.mkdir(parents=True)
    content = {"schema_version": 99}
    path.write_bytes(to_json({**content, "seal": seal(content)}))

    def no_runner() -> Any:
        raise AssertionError("begun")

    events: list[Event] = []
    one_run(no_runner, task, record.identity, events.append)
    assert "holds a record of a later release" in events[-1].text
    assert b'"schema_version": 99' in path.read_bytes()


def test_workers_start_at_different_seeds_and_cover_all(make_identity: MakeIdentity) -> None:
    runs = [make_identity(variant, seed) for seed in range(4) for variant in ("base_only:default", "lecnet:paper")]
    orders = [rotated(runs, number, 2) for number in range(2)]
    assert [order[0].seed for order in orders] == [0, 2]
    for order in orders:
        assert sorted(order, key=runs.index) == runs


# What is done: the ledger ------------------------------------------------------------------------------------------------


def test_images_that_changed_make_a_run_missing(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_record().identity
    ledger = Ledger(store)
    assert ledger.missing([run]) == [run]
    store.save(make_record(), costs, b"")
    open_run, elsewhere = (run.model_copy(update={"images": images}) for images in (None, "another"))
    assert ledger.missing([run, open_run, elsewhere]) == [elsewhere]
    assert (ledger.is_done(run), ledger.is_done(elsewhere)) == (True, False)


def test_run_again_means_by_this_sweep(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    """--force: what lies there counts only once this command has done it anew."""
    store, record = Store(tmp_path), make_record()
    ledger = Ledger(store, anew="this sweep")
    for sweep, done in ((None, False), ("another", False), ("this sweep", True)):
        store.save(record, costs.model_copy(update={"sweep": sweep}), b"")
        assert ledger.is_done(record.identity) is done
        assert Ledger(store).is_done(record.identity)
    store.path(record.identity, ".cost.json").unlink()
    assert not ledger.is_done(record.identity), "nobody knows whose it is"
