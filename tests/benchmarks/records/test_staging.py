"""A record is replaced whole, wherever the process that does it is killed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.predictions import are_of, kept_predictions
from benchmarks.records.schema import Record
from benchmarks.records.staging import staged
from benchmarks.records.store import Store
from benchmarks.system.files import locked, owned, scratch_of
from tests.benchmarks.conftest import MakeRecord

PROBE = "drift"
STEPS = 8
"""Names that are given when a record with predictions, costs and one trace is replaced: three staged, the record, three in place, and 1."""


class Killed(BaseException):
    pass


def run(record: Record, number: int) -> tuple[Record, bytes, dict[str, bytes]]:
    """The record of a run whose predictions are a number, and what belongs to it."""
    predictions = b"predictions %d" % number
    changes = {"predictions_sha256": hashlib.sha256(predictions).hexdigest()}
    return record.model_copy(update=changes), predictions, {PROBE: b"trace %d" % number}


def replaced_but_killed(store: Store, record: Record, costs: Costs, steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Saves run 2 in place of run 1, killed before its step of this number. Returns whether it was."""
    replace, done = os.replace, count()

    def killed(source: Any, target: Any) -> None:
        if next(done) == steps:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        try:
            newer, predictions, traces = run(record, 2)
            store.save(newer, costs.model_copy(update={"commit": "2"}), predictions, traces)
        except Killed:
            return True
    return False


def saved(store: Store, make_record: MakeRecord, costs: Costs) -> Record:
    """The record whose run 1 lies in the store."""
    record = make_record("ft_cnn:topic", 2)
    older, predictions, traces = run(record, 1)
    store.save(older, costs.model_copy(update={"commit": "1"}), predictions, traces)
    return record


def parts(store: Store, record: Record) -> set[str]:
    """Of which run each part is that lies there."""
    kept = store.find(record.identity)
    assert kept is not None
    packed, costs = kept_predictions(kept), costs_of(kept)
    assert packed is not None and are_of(packed, kept) and costs is not None
    trace = store.trace_path(record.identity, PROBE).read_bytes()
    return {packed.decode()[-1], trace.decode()[-1], costs.commit}


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_record_is_replaced_whole(
    steps: int, store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = saved(store, make_record, costs)
    assert parts(store, record) == {"1"}
    interrupted = replaced_but_killed(store, record, costs, steps, monkeypatch)
    assert interrupted == (steps < STEPS - 1), "the last is no step"
    with locked(store.path(record.identity, ".lock"), wait=False) as mine:
        left = sorted(store.root.rglob(".*staged*"))
        store.finish_replacing("hand")
        assert mine and sorted(store.root.rglob(".*staged*")) == left, "the run is another process's"
    store.finish_replacing("hand")
    assert parts(store, record) == ({"1"} if steps < 4 else {"2"})
    assert not list(store.root.rglob(".*staged*"))


def test_what_a_record_waited_for_that_is_gone_is_removed(
    store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = saved(store, make_record, costs)
    assert replaced_but_killed(store, record, costs, 3, monkeypatch)
    store.path(record.identity, ".json").unlink()
    half = store.path(record.identity, ".npz").with_name("..seed02.npz.staged.tmp")
    half.write_bytes(b"half")
    store.finish_replacing("hand")
    assert not list(store.root.rglob(".*staged*"))


@pytest.mark.parametrize("steps", [3, 4], ids=["before the record", "after the record"])
def test_leftovers_of_writers_without_locks_are_removed_where_there_are_locks(
    steps: int, store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node, or another mount, of the same folder had none: temporary files had names of their own."""
    record = saved(store, make_record, costs)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        assert replaced_but_killed(store, record, costs, steps, patched)
        for path in (store.path(record.identity, ".npz"), store.trace_path(record.identity, PROBE)):
            target, own = owned(scratch_of(staged(path)))
            target.close()
            assert own != scratch_of(staged(path))
        left = sorted(store.root.rglob(".*staged*"))
        store.finish_replacing("hand")
        assert sorted(store.root.rglob(".*staged*")) == left, "they may be in use"
    store.finish_replacing("hand")
    assert parts(store, record) == ({"1"} if steps < 4 else {"2"})
    assert not list(store.root.rglob(".*staged*"))


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "no locks")


def test_nothing_is_touched_where_nothing_waits(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    record = make_record("ft_cnn:topic", 2)
    store.save(*run(record, 1)[:1], costs, b"", {})
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    store.finish_replacing("hand")
    store.finish_replacing("nowhere")
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before
    assert not Path(store.root / "nowhere").exists()
