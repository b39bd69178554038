"""Notes of failed runs, and what damaged notes and costs cost: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.failures import FailedRun, Failure
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.benchmarks.records.conftest import save


def test_a_failure_leaves_a_note_until_the_run_succeeds(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("ScoreError: session 1: scores are NaN", "Traceback ..."))
    assert store.find(record.identity) is None
    failed = FailedRun("quick.paper", "ft_cnn:topic", 2, "ScoreError: session 1: scores are NaN", record.identity)
    assert store.load("hand") == ([], [], [failed])
    assert str(failed) == "ft_cnn:topic seed 2 (quick.paper): ScoreError: session 1: scores are NaN"
    note = json.loads(store.path(record.identity, ".failed.json").read_bytes())
    assert note["trace"] == "Traceback ..."
    assert store.load("hand") == ([], [], [failed])
    saved = save(store, record, costs)
    assert store.load("hand") == ([saved], [], [])
    assert not saved.beside(".failed.json").exists()


def test_killed_between_record_and_note(store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again must not leave a finished run named as failed for ever."""
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("out of memory", ""))

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", killed)
        store.save(record, costs, b"")
    if store.find(record.identity) is None:  # what the next sweep does
        store.save(record, costs, b"")
    kept, faults, failures = store.load("hand")
    assert ([one.identity for one in kept], faults, failures) == ([record.identity], [], [])


def test_a_failure_removes_no_record(store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """Of another version of the method it is named beside the record; of the record's own run it is no news."""
    newer = make_identity("lecnet:paper", 3, version=2)
    store.save_failure(newer, Failure("ValueError: broken", ""))
    store.save_failure(saved.identity, Failure("ValueError: broken", ""))
    kept, _, failures = store.load("hand")
    assert kept == [saved]
    assert [failed.identity for failed in failures] == [newer]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"1", b"\xff", b"[" * 200_000], ids=lambda content: repr(content[:3]))
def test_a_damaged_note_still_says_that_the_run_failed(content: bytes, store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity("ft_cnn:topic", 2)
    store.save_failure(identity, Failure("boom", ""))
    note = store.path(identity, ".failed.json")
    note.write_bytes(content)
    _, _, (failed,) = store.load("hand")
    assert (failed.where, failed.seed, failed.identity) == ("quick.paper", 2, None)
    assert f"{note.parent.name} seed 2" in str(failed)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_damaged_costs_cost_nothing(content: bytes, store: Store, saved: Record) -> None:
    saved.beside(".cost.json").write_bytes(content)
    assert costs_of(saved) is None
    assert store.load("hand") == ([saved], [], [])
