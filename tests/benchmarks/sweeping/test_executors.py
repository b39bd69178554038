"""Launchers without a cluster: what is submitted when, what is said, what goes wrong. tests/cluster asks the same of a real one."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.cli.options import parser
from benchmarks.planning.ledger import Ledger
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.sweeping.executors import element, launching
from benchmarks.sweeping.executors.choosing import Executor, executor_of
from benchmarks.sweeping.executors.launching import Launcher
from benchmarks.sweeping.executors.options import minutes, parsed
from benchmarks.sweeping.executors.plans import Plan, groups_of, named, read_plan, sources_now
from benchmarks.sweeping.executors.ray import QUIET, Ray, is_cluster
from benchmarks.sweeping.executors.scheduler import QUEUED, Element, FullError
from benchmarks.sweeping.executors.slurm import Slurm, flags, said_by_sbatch, without_slurms
from benchmarks.sweeping.executors.supervising import supervise
from benchmarks.sweeping.executors.telling import CHANGED, Reader, Teller, events_path
from benchmarks.sweeping.processes import interrupted
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import UsageError
from benchmarks.system.files import SUITE_ROOT
from benchmarks.system.settings import Settings
from protocols.schema import Protocol

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]
VARIANTS = ("base_only:default", "lecnet:paper")


@pytest.fixture
def task(hand: Protocol, tmp_path: Path) -> Task:
    return Task(hand, Settings(tmp_path, tmp_path, "cpu", 1), Ledger(Store(tmp_path)), 0.0, "this sweep")


@pytest.fixture
def runs(make_identity: MakeIdentity) -> list[Identity]:
    return [make_identity(variant, seed) for seed in range(3) for variant in VARIANTS]


# Plans and what elements tell ---------------------------------------------------------------------------------------------


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
    (folder / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match="no plan of this release"):
        read_plan(folder)


def test_lines_of_an_element_come_once_and_whole(tmp_path: Path) -> None:
    """Also after a kill in the middle of a line, and for a launcher that comes later."""
    path = tmp_path / "0.events"
    reader = Reader(path)
    assert list(reader.read()) == []
    teller = Teller(path)
    teller.began("on n1")
    assert not reader.began
    done = Event("done", "a:b", 1, "50.00 %", 2.0, more=("x",))
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
        teller.event(Event("progress", "a:b", 0, f"epoch {number}/50"))
    teller.event(Event("done", "a:b", 0))
    assert [event.kind for event in reader.read() if isinstance(event, Event)] == ["progress", "done"]


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


# The launcher -------------------------------------------------------------------------------------------------------------


@dataclass
class Fake:
    """A scheduler whose elements do what `work` says, at once or never. `full`: how many it takes at a time."""

    work: Callable[[Element, Sequence[Identity]], bool]
    most: int = 100
    full: int = 100
    name: str = "Slurm"
    now: dict[Element, str] = field(default_factory=dict)
    submitted: list[list[str]] = field(default_factory=list)
    refusal: str = ""
    last: str = "NODE_FAIL"

    def alive(self) -> Mapping[Element, str]:
        return dict(self.now)

    def submit(self, folder: Path, plan: Plan) -> None:
        if self.refusal:
            raise UsageError(self.refusal)
        if len(plan.groups) > self.full:
            raise FullError("QOSMaxSubmitJobPerUserLimit")
        self.submitted.append([named(group) for group in plan.groups])
        for number, group in enumerate(plan.groups):
            if self.work((folder.name, number), group):
                self.now[folder.name, number] = f"{QUEUED} (Priority)"

    def ended(self, element: Element) -> str:
        return self.last

    def how_to_stop(self, elements: Iterable[Element]) -> str:
        return "scancel"

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def launch(task: Task, runs: list[Identity], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Launches all runs on a fake scheduler, and returns what the terminal shows."""
    monkeypatch.setattr(launching, "TOLD_SECONDS", 0)
    monkeypatch.setattr(launching, "LONGEST_LOOK", 0)
    monkeypatch.setattr(launching, "FULL_SECONDS", 0)
    monkeypatch.setattr(launching.time, "sleep", lambda seconds: None)
    clock = iter(range(10**6))
    monkeypatch.setattr(launching.time, "monotonic", lambda: float(next(clock)))

    def launch(fake: Fake, seeds: int = 1) -> str:
        out = StringIO()
        progress = Progress(out)
        progress.start([run.variant for run in runs], 0, 0)
        Launcher(fake, task, groups_of(runs, seeds), 1, progress, patience=3.0).launch()
        return out.getvalue()

    return launch


@pytest.fixture
def do(task: Task, make_record: MakeRecord, costs: Costs) -> Callable[[Identity], None]:
    def do(run: Identity) -> None:
        task.store.save(make_record(run.variant, run.seed), costs, b"")

    return do


def plans(task: Task) -> list[Path]:
    return sorted((task.settings.results / ".cluster").glob("*/"))


def test_each_group_is_submitted_once_and_nothing_is_left(task: Task, launch: Callable[..., str], do: Callable[[Identity], None]) -> None:
    def work(element: Element, group: Sequence[Identity]) -> bool:
        teller = Teller(events_path(task.settings.results / ".cluster" / element[0], element[1]))
        for run in group:
            do(run)
            teller.event(Event("done", run.variant, run.seed, "40.00 %", 1.0))
        return False

    fake = Fake(work)
    said = launch(fake)
    assert fake.submitted == [["seed 0", "seed 1", "seed 2"]]
    assert said.count("40.00 % in 1.0 s") == 6
    assert plans(task) == []


def test_a_group_goes_in_parts_where_the_scheduler_takes_no_more(launch: Callable[..., str], do: Callable[[Identity], None]) -> None:
    def work(element: Element, group: Sequence[Identity]) -> bool:
        for run in group:
            do(run)
        return False

    for fake in (Fake(work, most=2), Fake(work, full=2)):
        said = launch(fake)
        assert fake.submitted in (
            [["seed 0", "seed 1"], ["seed 2"]],
            [["seed 0"], ["seed 1", "seed 2"]],
            [["seed 0"], ["seed 1"], ["seed 2"]],
        )
        assert "done by another process" in said or "runs to do" in said
        fake.submitted.clear()


def test_a_full_scheduler_that_holds_nothing_of_ours_is_named(launch: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="--executor slurm: QOSMaxSubmit"):
        launch(Fake(lambda *_: False, full=0))


def test_a_refusal_leaves_no_plan(task: Task, launch: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="no such partition"):
        launch(Fake(lambda *_: False, refusal="no such partition"))
    assert plans(task) == []


def test_what_ends_unfinished_is_submitted_three_times_again_and_then_failed(
    task: Task, launch: Callable[..., str], do: Callable[[Identity], None], runs: list[Identity]
) -> None:
    """One group that never ends does not stop the others. What it has done stays done."""

    def work(element: Element, group: Sequence[Identity]) -> bool:
        for run in group:
            if (run.variant, run.seed) != ("lecnet:paper", 1):
                do(run)
        return False

    fake = Fake(work)
    said = launch(fake)
    assert fake.submitted == [["seed 0", "seed 1", "seed 2"], ["seed 1"], ["seed 1"], ["seed 1"]]
    assert task.ledger.missing(runs) == [runs[3]]
    (failed,) = task.store.load("hand")[2]
    assert "its element ended before it was done (Slurm: NODE_FAIL), 4 times; its output is in .cluster/" in failed.error
    assert "it did not even begin: do the nodes see" in failed.error
    assert "submitted again, 3 of 3" in said and "lecnet:paper seed 1: FAILED" in said
    assert len(plans(task)) == 4, "their output is kept"


@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "OutOfMemoryError"])
def test_what_runs_out_of_memory_is_submitted_again_once(state: str, launch: Callable[..., str]) -> None:
    fake = Fake(lambda *_: False, last=state)
    assert launch(fake).count(f"FAILED: its element ended before it was done (Slurm: {state}), 2 times") == 6
    assert len(fake.submitted) == 2


def test_a_run_that_fails_is_not_submitted_again(task: Task, launch: Callable[..., str], do: Callable[[Identity], None]) -> None:
    def work(element: Element, group: Sequence[Identity]) -> bool:
        do(group[0])
        task.store.save_failure(group[1], Failure("ScoreError: scores are NaN", ""))
        return False

    fake = Fake(work)
    said = launch(fake)
    assert len(fake.submitted) == 1
    assert said.count("FAILED: ScoreError: scores are NaN") == 3


def test_what_another_launcher_has_submitted_is_waited_for(
    task: Task, launch: Callable[..., str], do: Callable[[Identity], None], runs: list[Identity]
) -> None:
    """In other groups than one's own; when its element ends unfinished, the rest is submitted."""
    folder = Plan(task, (tuple(runs[:4]),), 1, "s").write()
    theirs = (folder.name, 0)

    def work(element: Element, group: Sequence[Identity]) -> bool:
        for run in group:
            do(run)
        return False

    class Theirs(Fake):
        looks = 0

        def alive(self) -> Mapping[Element, str]:
            self.looks += 1
            if self.looks == 5:
                do(runs[0])
                do(runs[1])
                do(runs[2])
                self.now.clear()
            return dict(self.now)

    fake = Theirs(work, now={theirs: "on n1"})
    said = launch(fake)
    assert fake.submitted == [["seed 2"], ["seed 1"]]
    assert "seed 1: its element ended before it was done (Slurm: NODE_FAIL); submitted" in said
    assert task.ledger.missing(runs) == []
    assert plans(task) == []


def test_nothing_is_submitted_once_the_sources_have_changed(
    task: Task, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter("ab")
    monkeypatch.setattr(launching, "sources_now", lambda own: next(hashes))
    fake = Fake(lambda *_: False)
    said = launch(fake)
    assert fake.submitted == []
    assert "seed 0: not submitted: the suite's files have changed since this command began; start it again" in said
    assert task.store.load("hand")[2] == [], "no run has failed by that"


# Options ------------------------------------------------------------------------------------------------------------------


def asked(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(list(arguments))


def test_values_may_hold_commas() -> None:
    assert parsed("--slurm", ["gres=gpu:a:1,gpu:b:1,mem_per_cpu=4G", "nodelist=n[1,2]"]) == {
        "gres": "gpu:a:1,gpu:b:1",
        "mem-per-cpu": "4G",
        "nodelist": "n[1,2]",
    }


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90:01", 91), ("1:30:00", 90), ("2-0", 2880), ("1-12:30", 2190), ("0-0:1:5", 2), ("0:30", 1)]
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, value: int) -> None:
    assert minutes(text) == value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--executor", "pbs"], "--executor 'pbs': write local, slurm or ray"),
        (["--slurm", "time=60"], "--slurm has no effect with --executor local; write --executor slurm"),
        (["--executor", "slurm"], "--executor slurm needs a time limit: --slurm time=120 "),
        (["--executor", "slurm", "--slurm", "time"], "--slurm 'time': write KEY=VALUE, such as --slurm partition=gpu,time=60"),
        (["--executor", "slurm", "--slurm", "time=soon"], "--slurm: time='soon': write minutes, HH:MM:SS or DAYS-HH:MM:SS"),
        (["--executor", "slurm", "--slurm", "time=0"], "--slurm: time='0': must be between a minute and a year"),
        (["--executor", "slurm", "--slurm", "time=1,time=2"], "--slurm: time is given twice"),
        (["--executor", "slurm", "--slurm", "time=60,array=0-5"], "--slurm: array is set by the launcher; leave it out"),
        (["--executor", "slurm", "--slurm", "time=60,seeds=none"], "--slurm: seeds must be a whole number from 1 to 1000, not 'none'"),
        (["--executor", "slurm", "--slurm", "time=60,gpus=1"], "--executor slurm with gpus: say --precision fp32 or bf16;"),
        (["--executor", "slurm", "--slurm", "time=60,gres=gpu:1"], "--executor slurm with gpus: say --precision fp32 or bf16;"),
        (["--executor", "slurm", "--slurm", "time=60", "--reproduce", "3"], "--reproduce runs on this machine; leave --executor out"),
        (["--executor", "ray", "--ray", "gpu=1"], "--ray: there is no 'gpu'; write address, cpus, gpus, seeds or patience"),
        (["--executor", "ray", "--ray", "gpus=-1"], "--ray: gpus must be a number from 0 to 64, not '-1'"),
    ],
)
def test_bad_options_are_named(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        executor_of(asked(*arguments))
    assert str(caught.value).startswith(said), str(caught.value)


def executor(*arguments: str) -> Executor:
    found = executor_of(asked(*arguments))
    assert found is not None
    return found


def test_cores_follow_from_workers_or_workers_from_cores() -> None:
    assert executor_of(asked()) is None
    for more, expected in (
        ([], (1, 1)),
        (["--threads", "2"], (2, 1)),
        (["--workers", "3", "--threads", "2"], (6, 3)),
    ):
        found = executor("--executor", "slurm", "--slurm", "time=60", *more)
        assert (found.cpus, found.workers) == expected
    found = executor("--executor", "slurm", "--slurm", "time=60,cpus-per-task=8,seeds=5,gpus=1", "--threads", "2", "--precision", "fp32")
    assert (found.cpus, found.workers, found.seeds, found.gpus, found.limit) == (8, 4, 5, True, 60)
    found = executor("--executor", "ray", "--ray", "cpus=2,gpus=0.25", "--precision", "fp32")
    assert (found.cpus, found.workers, found.gpus, found.limit) == (2, 2, True, None)


def test_a_time_limit_below_the_longest_base_or_run_is_refused(
    task: Task, runs: list[Identity], make_record: MakeRecord, costs: Costs
) -> None:
    task.store.save(make_record("lecnet:paper", 7), costs.model_copy(update={"base_seconds": 1300.0}), b"")
    task.store.save(make_record("base_only:default", 7), costs.model_copy(update={"session_seconds": (900.0, 10.0)}), b"")
    progress = Progress(StringIO())
    executor("--executor", "slurm", "--slurm", "time=22").check_limit(runs, task.ledger, progress)
    with pytest.raises(
        UsageError, match=r"time=21 minutes is shorter than the base session of lecnet:paper, which took 22 min here; nothing"
    ):
        executor("--executor", "slurm", "--slurm", "time=21").check_limit(runs, task.ledger, progress)
    with pytest.raises(UsageError, match="shorter than a run of base_only:default, which took 15 min here"):
        executor("--executor", "slurm", "--slurm", "time=15").check_limit(runs[::2], task.ledger, progress)


def test_a_time_limit_that_makes_every_interruption_a_time_out_is_warned_of(task: Task, runs: list[Identity]) -> None:
    for limit, warned in (("10", True), ("11", False)):
        out = StringIO()
        executor("--executor", "slurm", "--slurm", f"time={limit}").check_limit(runs, task.ledger, Progress(out))
        assert ("less than 11 minutes" in out.getvalue()) is warned


def test_a_plan_says_what_each_element_holds_and_how_long_it_takes(
    task: Task, runs: list[Identity], make_record: MakeRecord, costs: Costs
) -> None:
    found = executor("--executor", "slurm", "--slurm", "time=60,seeds=2")
    assert "element 0: seeds 0-1, 4 runs of 2 variants: no estimate" in found.plan_text(runs, task.ledger)
    hours = costs.model_copy(update={"base_seconds": 3600.0, "session_seconds": (7200.0,), "evaluation_seconds": (0.0,)})
    task.store.save(make_record("lecnet:paper", 0), hours, b"")
    text = found.plan_text(runs, task.ledger)
    assert text.splitlines() == [
        "Slurm: 2 elements, 1 core each",
        "  element 0: seeds 0-1, 3 runs of 2 variants: about 4 h 0 min, without base_only:default",
        "  element 1: seed 2, 2 runs of 2 variants: about 3 h 0 min, without base_only:default",
        "  together 7 h 0 min; the longest 4 h 0 min, if no base session is cached",
    ]


# Slurm and Ray where there is none ----------------------------------------------------------------------------------------


def test_without_slurm_or_submitit_or_ray_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--executor slurm: sbatch is not found here"):
        Slurm({"time": "60"}, 1)
    for name in ("sbatch", "squeue", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--executor slurm needs submitit: pip install 'submitit>=1.5,<2'"):
        Slurm({"time": "60"}, 1)
    with pytest.raises(UsageError, match=r"--executor ray needs Ray: pip install 'ray>=2.40,<3'"):
        Ray(None, 1, 0.0)


def test_squeue_says_who_is_alive_and_keeps_its_word_while_it_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        "fscil-ab12|0|RUNNING|n1|None",
        "fscil-ab12|1|PENDING||Resources",
        "fscil-ab12|2|NODE_FAIL|n2|NodeDown",
        "fscil-cd34|N/A|COMPLETING|n3|None",
        "somebody's|0|RUNNING|n1|None",
        "not a row",
    ]
    for name, lines in (("squeue", rows), ("scontrol", ["MaxArraySize            = 1001"]), ("sbatch", []), ("srun", [])):
        (tmp_path / name).write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "submitit", sys)
    slurm = Slurm({"time": "60", "partition": "gpu"}, 1)
    assert slurm.most == 1000
    expected = {("ab12", 0): "on n1", ("ab12", 1): "queued (Resources)", ("cd34", 0): "on n3"}
    assert slurm.alive() == expected
    assert slurm.ended(("ab12", 2)) == "NODE_FAIL"
    assert slurm.ended(("ef56", 0)) == "no longer known"
    assert "scancel --name=fscil-ab12" in slurm.how_to_stop([("ab12", 0), ("ab12", 1), ("ef56", 0)])
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert slurm.alive() == expected


def test_what_another_job_left_in_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CPU_BIND", "SBATCH_PARTITION", "SQUEUE_FORMAT", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    with without_slurms():
        assert sorted(name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))) == ["SLURM_CONF"]
    assert os.environ["SLURM_CPU_BIND"] == "x"


def test_yes_is_an_option_without_a_value() -> None:
    assert flags({"exclusive": "yes", "partition": "gpu"}) == {"exclusive": True, "partition": "gpu"}


def test_the_words_of_sbatch_are_taken_out_of_submitits() -> None:
    text = (
        "Command failed\nsbatch: error: invalid partition specified: nowhere\nsbatch: error: Batch job submission failed: Invalid name\n\n"
    )
    assert said_by_sbatch(text) == "invalid partition specified: nowhere; Batch job submission failed: Invalid name"


def test_an_address_where_nothing_answers_is_named() -> None:
    assert (is_cluster(None), is_cluster("local"), is_cluster("auto")) == (False, False, True)
    for address, said in (("127.0.0.1:9", "nothing answers there"), ("nowhere", "write HOST:PORT"), ("x:99999", "write HOST:PORT")):
        with pytest.raises(UsageError, match=said):
            is_cluster(address)


class FakeRay:
    """As much of Ray as the launcher asks for: nodes of two cores and half of a cluster's tasks that crash."""

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}
        self.began: list[tuple[object, ...]] = []
        self.ready: set[int] = set()

    def init(self, **options: object) -> None:
        self.asked |= options

    def nodes(self) -> list[dict[str, object]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [dead, {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]

    def remote(self, **options: object) -> Callable[[Callable[..., int]], FakeRay]:
        self.asked |= options
        return lambda function: SimpleNamespace(remote=self.begin)  # type: ignore[return-value]

    def begin(self, *arguments: object) -> int:
        self.began.append(arguments)
        return len(self.began) - 1

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return [task for task in tasks if task in self.ready], [task for task in tasks if task not in self.ready]

    def get(self, task: int) -> int:
        if task == 1:
            raise MemoryError("killed")
        return 3

    def shutdown(self) -> None:
        self.asked["shut"] = True


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, QUIET[name])  # is put back afterwards
    return fake


def test_ray_runs_a_task_once_in_a_process_of_its_own(fake_ray: FakeRay, task: Task, runs: list[Identity]) -> None:
    """Ray's own retries are off, and without `gpus` an element sees no card. What Ray starts here is quiet."""
    scheduler = Ray(None, 2, 0.0)
    assert {key: fake_ray.asked[key] for key in ("num_cpus", "num_gpus", "max_retries", "max_calls")} == {
        "num_cpus": 2,
        "num_gpus": 0.0,
        "max_retries": 0,
        "max_calls": 1,
    }
    assert (fake_ray.asked["address"], fake_ray.asked["include_dashboard"]) == ("local", False)
    folder = Path(str(fake_ray.asked["_temp_dir"]))
    assert folder.is_dir() and len(str(folder)) < 30, "sockets need a short path"
    plan = Plan(task, tuple(map(tuple, groups_of(runs, 1))), 1, "s")
    place = plan.write()
    scheduler.submit(place, plan)
    assert [arguments[1:] for arguments in fake_ray.began] == [(n, str(SUITE_ROOT), {"CUDA_VISIBLE_DEVICES": ""}) for n in range(3)]
    Teller(events_path(place, 0))
    fake_ray.ready = {1, 2}
    name = place.name
    assert scheduler.alive() == {(name, 0): "at work"}
    assert (scheduler.ended((name, 1)), scheduler.ended((name, 2))) == ("MemoryError", "ended with status 3")
    scheduler.close()
    assert fake_ray.asked["shut"] and not folder.exists()


def test_what_no_node_of_ray_can_run_is_refused(fake_ray: FakeRay) -> None:
    """Ray would wait in silence. A node that is gone counts for nothing."""
    Ray(None, 8, 0.0).close()
    for cpus, gpus in ((9, 0.0), (4, 0.5), (1, 2.0)):
        with pytest.raises(UsageError, match=rf"an element needs {cpus} cores and {gpus:g} GPUs, which no node has \(2 cores, 1 GPUs; 8"):
            Ray(None, cpus, gpus)
