"""Sharing runs among workers, and what becomes of those that fail."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.sweeping.processes import rotated
from benchmarks.sweeping.progress import Event
from benchmarks.sweeping.sweep import missing_runs
from benchmarks.sweeping.worker import one_run
from benchmarks.system.errors import DataError, StorageError

MakeIdentity = Callable[..., Identity]


class Failing:
    """A runner whose runs end in this error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def watch(self, *arguments: Any) -> None:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("first line\nsecond"), SystemExit(0), MemoryError()])
def test_a_run_that_fails_in_any_way_is_noted_and_does_not_stop_the_worker(
    error: BaseException, make_identity: MakeIdentity, tmp_path: Path
) -> None:
    store, identity, events = Store(tmp_path), make_identity(), list[Event]()
    one_run(lambda: Failing(error), store, identity, events.append)  # type: ignore[arg-type, return-value]
    assert [event.kind for event in events] == ["start", "failed"]
    assert type(error).__name__ in events[-1].text
    assert "\n" not in events[-1].text
    assert store.path(identity, ".failed.json").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EFBIG])
def test_a_disk_that_refuses_is_no_failure(code: int, make_identity: MakeIdentity, tmp_path: Path) -> None:
    """Wherever in the run it does: it stops the sweep, and no run is called failed."""
    store, identity, events = Store(tmp_path), make_identity(), list[Event]()
    with pytest.raises(StorageError, match="somewhere: cannot be written"):
        one_run(lambda: Failing(OSError(code, "no", "somewhere")), store, identity, events.append)  # type: ignore[arg-type, return-value]
    assert [event.kind for event in events] == ["start"]
    assert not store.path(identity, ".failed.json").exists()


def test_ctrl_c_is_no_failure(make_identity: MakeIdentity, tmp_path: Path) -> None:
    store, identity = Store(tmp_path), make_identity()
    with pytest.raises(KeyboardInterrupt):
        one_run(lambda: Failing(KeyboardInterrupt()), store, identity, lambda event: None)  # type: ignore[arg-type, return-value]
    assert not store.path(identity, ".failed.json").exists()


def test_data_that_goes_missing_before_the_first_run_fails_the_run_only(make_identity: MakeIdentity, tmp_path: Path) -> None:
    def no_runner() -> Any:
        raise DataError("digits: gone")

    store, events = Store(tmp_path), list[Event]()
    one_run(no_runner, store, make_identity(), events.append)
    assert events[-1].text == "digits: gone"


def test_workers_start_at_different_seeds_and_cover_all(make_identity: MakeIdentity) -> None:
    runs = [make_identity(variant, seed) for seed in range(4) for variant in ("base_only:default", "lecnet:paper")]
    orders = [rotated(runs, number, 2) for number in range(2)]
    assert [order[0].seed for order in orders] == [0, 2]
    for order in orders:
        assert sorted(order, key=runs.index) == runs


def test_images_that_changed_make_a_run_missing(make_record: Callable[..., Any], costs: Any, tmp_path: Path) -> None:
    store, record = Store(tmp_path), make_record()
    store.save(record, costs, b"")
    assert missing_runs([record.identity], store, record.images_sha256) == []
    assert missing_runs([record.identity], store, None) == []
    assert missing_runs([record.identity], store, "another") == [record.identity]
