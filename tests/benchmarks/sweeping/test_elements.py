"""Plans of cluster elements, what elements tell, and how they end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.planning.ledger import Ledger
from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors import element
from benchmarks.sweeping.executors.plans import Plan, groups_of, named, read_plan, sources_now
from benchmarks.sweeping.executors.supervising import supervise
from benchmarks.sweeping.executors.telling import CHANGED, Reader, Teller, events_path
from benchmarks.sweeping.processes import interrupted
from benchmarks.sweeping.progress import Event
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import RecordError
from benchmarks.system.files import SUITE_ROOT
from tests.benchmarks.sweeping.conftest import VARIANTS, told


def test_groups_share_no_seed_and_lose_no_run(runs: list[Identity]) -> None:
    for seeds, names in ((1, ["seed 0", "seed 1", "seed 2"]), (2, ["seeds 0-1", "seed 2"]), (9, ["seeds 0-2"])):
        groups = groups_of(runs, seeds)
        assert [named(group) for group in groups] == names
        assert [run for group in groups for run in group] == runs
    assert named([run for run in runs if run.seed != 1]) == "seeds 0,2"


def test_a_plan_is_read_as_it_was_written(task: Task, runs: list[Identity]) -> None:
    task = Task(task.protocol, task.settings, Ledger(task.store, {VARIANTS[0]: ("fit", "tsne")}, "anew"), 5.5, "this sweep")
    plan = Plan(task, tuple(map(tuple, groups_of(runs, 2))), 3, "abc")
    folder = plan.write()
    assert folder.parent == task.settings.results / ".cluster"
    again = read_plan(folder)
    assert again.task.store.root == task.store.root
    assert (again.groups, again.workers, again.sources) == (plan.groups, 3, "abc")
    assert again.task.settings == task.settings
    assert again.task.protocol == task.protocol
    assert (again.task.started, again.task.sweep) == (5.5, "this sweep")
    assert (again.task.ledger.probes, again.task.ledger.anew) == (task.ledger.probes, "anew")
    for other in ("{}", "half a pl", json.dumps({**json.loads((folder / "plan.json").read_text()), "protocol": {}})):
        (folder / "plan.json").write_text(other)
        with pytest.raises(RecordError, match=r"^.*: no plan of this release \([^\n]+\)$"):
            read_plan(folder)


def test_lines_of_an_element_come_once_and_whole(tmp_path: Path) -> None:
    """Also after a kill in the middle of a line, and for a launcher that comes later."""
    path = tmp_path / "0.events"
    reader = Reader(path)
    assert list(reader.read()) == []
    teller = Teller(path)
    teller.began("on n1")
    assert not reader.began
    done = told("done", "a:b", 1, "50.00 %", 2.0, more=("x",))
    teller.event(done)
    assert list(reader.read()) == [done]
    assert reader.began
    with path.open("a") as target:
        target.write('{"kind": "do')
    assert list(reader.read()) == []
    later = Reader(path, from_now=True)
    Teller(path).note("halted")
    assert list(reader.read()) == ["halted"]
    assert list(later.read()) == ["halted"]
    assert later.began


def test_progress_of_a_run_is_told_now_and_then(tmp_path: Path) -> None:
    teller, reader = Teller(tmp_path / "0.events"), Reader(tmp_path / "0.events")
    for number in range(50):
        teller.event(told("progress", "a:b", 0, f"epoch {number}/50"))
    teller.event(told("progress", "a:b", 0, "epoch 1/50", recipe="slow"))
    teller.event(told("done", "a:b", 0))
    assert [event.kind for event in reader.read() if isinstance(event, Event)] == ["progress", "progress", "done"]


def test_an_element_that_is_told_to_stop_says_so(task: Task, runs: list[Identity], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(element, "in_processes", stopped)
    monkeypatch.setattr(element, "stop_without_supervisor", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    folder = Plan(task, (tuple(runs),), 1, sources_now(None)).write()
    try:
        assert element.main(folder, 0) == element.INTERRUPTED
        assert signal.getsignal(signal.SIGTERM) is interrupted
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(Reader(events_path(folder, 0)).read()) == ["interrupted; what it was doing is done again"]


def test_an_element_refuses_other_sources_than_it_was_planned_with(task: Task, runs: list[Identity]) -> None:
    folder = Plan(task, (tuple(runs),), 1, "of yesterday").write()
    assert supervise(str(folder), 0, str(SUITE_ROOT)) == 2
    reader = Reader(events_path(folder, 0))
    assert list(reader.read()) == [CHANGED]
    assert reader.began
    (began,) = [json.loads(line)["began"] for line in reader.path.read_text().splitlines() if "began" in line]
    assert " cores" in began, "what the scheduler gave it is recorded"


def no_plan(folder: Path, patched: pytest.MonkeyPatch) -> None:
    (folder / "plan.json").unlink()


def half_a_plan(folder: Path, patched: pytest.MonkeyPatch) -> None:
    (folder / "plan.json").write_text('{"protocol": ')


def folder_of_methods_that_is_gone(folder: Path, patched: pytest.MonkeyPatch) -> None:
    content = json.loads((folder / "plan.json").read_text())
    content["settings"]["methods_dir"] = str(folder / "gone")
    (folder / "plan.json").write_text(json.dumps(content))


def a_full_disk(folder: Path, patched: pytest.MonkeyPatch) -> None:
    """Full once the element has begun: what it tells of its runs cannot be written, nor why it ends."""

    def fills_up(task: object, runs: object, workers: object, teller: Teller) -> None:
        teller.path.unlink()
        teller.path.symlink_to("/dev/full")
        teller.note("a run has ended")

    patched.setattr(element, "in_processes", fills_up)


def events_that_cannot_be_written(folder: Path, patched: pytest.MonkeyPatch) -> None:
    events_path(folder, 0).mkdir()


@pytest.mark.parametrize(
    ("damage", "said", "told"),
    [
        (no_plan, "plan.json: cannot be used (No such file or directory)", True),
        (half_a_plan, "no plan of this release (Expecting value", True),
        (folder_of_methods_that_is_gone, "gone: no such folder", True),
        (a_full_disk, "0.events: cannot be written (No space left on device); free room", False),
        (events_that_cannot_be_written, "0.events: cannot be written (Is a directory)", False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_an_element_cannot_use_is_told(
    damage: Callable[..., None],
    said: str,
    told: bool,
    task: Task,
    runs: list[Identity],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To the launcher if that can be, and to the scheduler's log."""
    folder = Plan(task, (tuple(runs),), 1, sources_now(None)).write()
    monkeypatch.setattr(element, "stop_without_supervisor", lambda: None)
    damage(folder, monkeypatch)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert element.main(folder, 0) == element.REFUSED
    finally:
        signal.signal(signal.SIGTERM, before)
    in_log = capsys.readouterr().err
    assert said in in_log and in_log.count("\n") == 1
    if told:
        reader = Reader(events_path(folder, 0))
        assert list(reader.read()) == [in_log.rstrip("\n")]
        assert reader.began


def test_sources_are_those_of_the_suite_and_of_own_methods(tmp_path: Path) -> None:
    before = sources_now(tmp_path)
    assert before == sources_now(tmp_path) == sources_now(None)
    (tmp_path / "mine.py").write_text("x = 1\n")
    after = sources_now(tmp_path)
    (tmp_path / "mine.py").write_text("x = 2\n")
    assert len({before, after, (now := sources_now(tmp_path))}) == 3
    (tmp_path / ".#mine.py").symlink_to("nobody@nowhere")  # an editor's lock, and its copies
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "mine-checkpoint.py").write_text("x = 3\n")
    assert sources_now(tmp_path) == now


STUB = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid} {os.getpgid(0)}")
time.sleep(600 * int(sys.argv[2]))
"""


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """A folder that holds an element which starts a child, and then ends (number 0) or goes on (number 1)."""
    folder = tmp_path / "benchmarks" / "sweeping" / "executors"
    folder.mkdir(parents=True)
    (folder / "element.py").write_text(STUB)
    return tmp_path


def end_of(*processes: int) -> bool:
    """Whether all of these end: a signal that has been sent takes a moment."""
    for _ in range(500):
        states = [Path(f"/proc/{pid}/stat") for pid in processes]
        with suppress(FileNotFoundError):
            if any(path.read_text().rpartition(")")[2].split()[0] not in ("Z", "X") for path in states if path.exists()):
                time.sleep(0.02)
                continue
            return True
    return False


def test_nothing_of_an_element_outlives_it(stub: Path, tmp_path: Path) -> None:
    assert supervise(str(tmp_path / "said"), 0, str(stub)) == 0
    element, child, group = map(int, (tmp_path / "said").read_text().split())
    assert element == group != os.getpgid(0), "a signal to the supervisor's group does not reach it"
    assert end_of(element, child)


def test_an_element_ends_with_an_interrupted_supervisor(stub: Path, tmp_path: Path) -> None:
    """As submitit interrupts it: by an exception out of a signal's handler."""

    def interrupt(*_: object) -> None:
        if not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return
        raise SystemExit(-1)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(SystemExit):
            supervise(str(tmp_path / "said"), 1, str(stub))
    finally:
        signal.signal(signal.SIGALRM, before)
    element, child, _ = map(int, (tmp_path / "said").read_text().split())
    assert end_of(element, child)
