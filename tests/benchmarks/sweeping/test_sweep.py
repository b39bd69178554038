"""Sharing runs among workers, and what becomes of those that fail."""

from __future__ import annotations

import errno
import fcntl
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.costs import seconds_before
from benchmarks.planning.ledger import Ledger
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.running import runner as running
from benchmarks.sweeping import sweep as sweeping
from benchmarks.sweeping import worker
from benchmarks.sweeping.explaining import place_of
from benchmarks.sweeping.processes import rotated
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.sweeping.worker import Task, one_run
from benchmarks.system.errors import BusyError, DataError, StorageError
from benchmarks.system.files import locked
from tests.benchmarks.conftest import MakeIdentity, MakeRecord


class Ending:
    """A runner whose runs end so: in an error, or in what is to be stored."""

    def __init__(self, end: Any) -> None:
        self.end = end

    def watch(self, *arguments: Any) -> Any:
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


def run(task: Task, identity: Identity, end: Any) -> list[Event]:
    """What is said of one run that ends so."""
    events: list[Event] = []
    one_run(lambda: Ending(end), task, identity, events.append)  # type: ignore[arg-type, return-value]
    return events


class SpeechlessError(Exception):
    """A method's own error, whose text needs what is not there."""

    def __str__(self) -> str:
        return self.args[7]


@pytest.mark.parametrize("error", [RuntimeError("first line\nsecond"), SystemExit(0), MemoryError(), SpeechlessError()])
def test_a_run_that_fails_in_any_way_is_noted_and_does_not_stop_the_worker(
    error: BaseException, make_identity: MakeIdentity, task: Task
) -> None:
    identity = make_identity()
    events = run(task, identity, error)
    assert [event.kind for event in events] == ["start", "failed"]
    assert type(error).__name__ in events[-1].text
    assert "\n" not in events[-1].text
    assert task.store.path(identity, ".failed.json").exists()
    (trace,) = [line.removeprefix("traceback: ") for line in events[-1].more if line.startswith("traceback: ")]
    text = Path(trace).read_text()
    assert text.startswith(f"{identity.variant} seed {identity.seed} failed.\n") and "Traceback (most recent call last)" in text


def test_the_place_of_a_failure_is_the_methods_own(tmp_path: Path, methods_in: Callable[[Path], None]) -> None:
    """Its last line that led there, not that of the library below; of an error that was raised from another, the first's."""
    methods_in(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from methods.parts.heads import DotHead\n\n\ndef deep():\n    return DotHead('wide')\n\n\ndef outer():\n    try:\n        deep()\n"
        "    except TypeError as error:\n        raise ValueError('no') from error\n"
    )
    mine = importlib.import_module("methods.mine")
    for call, said in (
        (mine.deep, "line 5, in deep: return DotHead('wide')"),
        (mine.outer, "line 12, in outer: raise ValueError('no') from"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert place_of(caught.value).startswith(f"{tmp_path}/mine.py, {said}")
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert place_of(caught.value) == ""


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


# Other processes --------------------------------------------------------------------------------------------------------


class Shared:
    """A runner whose runs need the base model of their seed, unless another process holds its lock."""

    def __init__(self, records: dict[Path, Record], costs: Costs, locks: Path) -> None:
        self.records, self.costs, self.locks = records, costs, locks

    def watch(self, identity: Identity, *arguments: Any) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        with locked(self.locks / str(identity.seed), wait=False) as mine:
            if not mine:
                raise BusyError(self.locks / str(identity.seed))
        return self.records[identity.stem], self.costs, b"", {}

    def peers(self, identity: Identity, runs: Sequence[Identity]) -> list[Identity]:
        return []


def test_what_is_there_is_not_waited_for(tmp_path: Path) -> None:
    """A process may hold one lock for the bases of many seeds, one after the other."""
    error = BusyError(tmp_path / "lock", tmp_path / "base")
    with error.lock.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert worker.still_busy(error)
        (tmp_path / "base").touch()
        assert not worker.still_busy(error)
        assert worker.still_busy(BusyError(error.lock))
    assert not worker.still_busy(BusyError(error.lock))


def test_another_seed_is_done_while_a_base_is_trained_elsewhere(
    make_record: MakeRecord, costs: Costs, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is suspended may hold its base for ever: nobody waits for it before all else is done, and not without a word."""
    records = [make_record(variant, seed) for seed in (0, 1) for variant in ("base_only:default", "lecnet:paper")]
    runner = Shared({record.identity.stem: record for record in records}, costs, tmp_path)
    monkeypatch.setattr(running, "Runner", lambda *arguments, **options: runner)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0)
    said: list[tuple[str, str, int, str]] = []
    with (tmp_path / "0").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def hear(event: Event) -> None:
            said.append((event.kind, event.variant, event.seed, event.text))
            if event.kind == "waits":
                fcntl.flock(other, fcntl.LOCK_UN)

        worker.work(task, [record.identity for record in records], hear)
    assert [what for what in said if what[0] != "start"] == [
        ("later", "base_only:default", 0, ""),
        ("done", "base_only:default", 1, "40.00 %"),
        ("done", "lecnet:paper", 1, "40.00 %"),
        ("waits", "base_only:default", 0, "waits for another process that trains this base"),
        ("done", "base_only:default", 0, "40.00 %"),
        ("done", "lecnet:paper", 0, "40.00 %"),
    ]


def test_a_run_that_failed_in_another_process_says_why(make_identity: MakeIdentity, task: Task) -> None:
    identity = make_identity()
    task.store.save_failure(identity, Failure("ScoreError: scores are NaN", ""))
    events: list[Event] = []
    worker.work(task, [identity], events.append)
    assert [(event.kind, event.text) for event in events] == [("failed", "in another process: ScoreError: scores are NaN")]


def test_a_run_that_another_process_does_is_waited_for_aloud(
    make_record: MakeRecord, costs: Costs, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    monkeypatch.setattr(worker, "POLL_SECONDS", 0)
    events: list[Event] = []
    path = task.store.path(record.identity, ".lock")
    path.parent.mkdir(parents=True)
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def hear(event: Event) -> None:
            events.append(event)
            if event.kind == "waits":
                task.store.save(record, costs, b"")
                fcntl.flock(other, fcntl.LOCK_UN)

        worker.work(task, [record.identity], hear)
    assert [(event.kind, event.text) for event in events] == [("waits", "waits for another process that does this run"), ("elsewhere", "")]


def test_a_record_that_another_process_replaced_is_named(
    make_record: MakeRecord, costs: Costs, task: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two launchers with --force on one folder: what the first has done is not there any more when it counts."""
    record = make_record()

    def done_and_replaced(task: Task, runs: Sequence[Identity], send: worker.Send) -> None:
        task.store.save(record, costs.model_copy(update={"sweep": "another"}), b"")
        send(Event.of("done", record.identity, "40.00 %"))

    monkeypatch.setattr(sweeping, "work", done_and_replaced)
    ledger = Ledger(task.store, anew="this sweep")
    outcome = sweeping.sweep(task.protocol, [record.identity], task.settings, 1, Progress(), ledger)
    assert outcome == sweeping.Outcome(0, 0, 1)
    assert "lecnet:paper seed 0: another process has replaced or removed its record; run" in capsys.readouterr().err


def test_a_file_system_without_locks_is_named(
    make_record: MakeRecord, costs: Costs, task: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several workers would do each run several times: there is one."""
    records = [make_record(seed=seed) for seed in range(3)]
    crew: list[int] = []

    def in_processes(task: Task, runs: Sequence[Identity], workers: int, progress: Progress) -> None:
        crew.append(workers)
        for record in records:
            task.store.save(record, costs, b"")

    monkeypatch.setattr(sweeping, "has_locks", lambda folder: False)
    monkeypatch.setattr(sweeping, "in_processes", in_processes)
    runs = [record.identity for record in records]
    assert sweeping.sweep(task.protocol, runs, task.settings, 8, Progress(), task.ledger) == sweeping.Outcome(0, 3, 0)
    assert crew == [1]
    assert capsys.readouterr().err.startswith(f"{task.settings.results}: its file system has no locks; start one command at a time on it\n")


# What is done: the ledger ------------------------------------------------------------------------------------------------


def test_images_that_changed_make_a_run_missing(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_record().identity
    ledger = Ledger(store)
    assert ledger.missing([run]) == [run]
    store.save(make_record(), costs, b"")
    open_run, elsewhere = (run.model_copy(update={"images": images}) for images in (None, "another"))
    assert ledger.missing([run, open_run, elsewhere]) == [elsewhere]
    assert (ledger.is_done(run), ledger.is_done(elsewhere)) == (True, False)


def test_records_are_of_what_is_done_in_the_order_asked(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    ledger = Ledger(Store(tmp_path))
    runs = [make_record(seed=seed).identity for seed in (2, 0, 1)]
    for run in runs[::2]:
        ledger.store.save(make_record(seed=run.seed), costs, b"")
    assert [record.identity.seed for record in ledger.records(runs)] == [2, 1]


def test_means_of_earlier_runs_are_by_variant(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    """Of a base session: over those runs that trained one. With --force, what is done again tells, too."""
    done = [("lecnet:paper", 0, 10.0, 0.0), ("lecnet:paper", 1, 30.0, 5.0), ("proto:raw_mean", 0, 4.0, 7.0)]
    store = Store(tmp_path)
    for variant, seed, seconds, base in done:
        took = {"session_seconds": (seconds,), "evaluation_seconds": (0.0,), "base_seconds": base}
        store.save(make_record(variant, seed), costs.model_copy(update=took), b"")
    runs = [make_record(variant, seed).identity for variant, seed, *_ in [*done, ("proto:raw_mean", 1)]]
    assert seconds_before(runs, Ledger(store, anew="this sweep")) == ({"lecnet:paper": 20.0, "proto:raw_mean": 4.0}, 6.0)


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
