"""The launcher of elements, without a cluster: what is submitted when, what is said, what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors import launching
from benchmarks.sweeping.executors.launching import Launcher
from benchmarks.sweeping.executors.plans import Plan, groups_of, named
from benchmarks.sweeping.executors.scheduler import QUEUED, Element, FullError
from benchmarks.sweeping.executors.telling import Teller, events_path
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import UsageError
from tests.benchmarks.conftest import MakeRecord


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
    """Launches all runs, or those `wanted`, on a fake scheduler, and returns what the terminal shows."""
    monkeypatch.setattr(launching, "TOLD_SECONDS", 0)
    monkeypatch.setattr(launching, "LONGEST_LOOK", 0)
    monkeypatch.setattr(launching, "FULL_SECONDS", 0)
    monkeypatch.setattr(launching.time, "sleep", lambda seconds: None)
    clock = iter(range(10**6))
    monkeypatch.setattr(launching.time, "monotonic", lambda: float(next(clock)))

    def launch(fake: Fake, seeds: int = 1, wanted: Sequence[Identity] = runs) -> str:
        out = StringIO()
        progress = Progress(out)
        progress.start([run.variant for run in wanted], 0, 0)
        Launcher(fake, task, groups_of(wanted, seeds), 1, progress, patience=3.0).launch()
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
            teller.event(replace(Event.of("done", run, "40.00 %"), seconds=1.0))
        return False

    fake = Fake(work)
    said = launch(fake)
    assert fake.submitted == [["seed 0", "seed 1", "seed 2"]]
    assert said.count("40.00 % in 1.0 s") == 6
    assert plans(task) == []


def test_runs_of_two_recipes_are_told_each(
    task: Task, launch: Callable[..., str], make_record: MakeRecord, costs: Costs, runs: list[Identity]
) -> None:
    """Of one variant and seed, whether an element tells of them or nobody does."""
    wanted = [run.model_copy(update={"recipe": recipe}) for run in runs for recipe in ("quick", "slow")]

    def work(element: Element, group: Sequence[Identity]) -> bool:
        teller = Teller(events_path(task.settings.results / ".cluster" / element[0], element[1]))
        for run in group:
            task.store.save(make_record(run.variant, run.seed, recipe=run.recipe), costs, b"")
            if run.seed:
                teller.event(Event.of("done", run, "40.00 %"))
        return False

    said = launch(Fake(work), wanted=wanted)
    assert (said.count("40.00 %"), said.count("done by another process")) == (8, 4)
    assert "[12/12]" in said


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


@pytest.mark.parametrize("refusal", [UsageError("the controller is away"), FullError("the partition drains")])
def test_a_refusal_while_others_are_at_work_is_asked_again(
    refusal: Exception, launch: Callable[..., str], do: Callable[[Identity], None]
) -> None:
    """Seed 0 is at work, and seed 1 was lost: the launcher ended, with elements at work. One submission is told once."""

    class Away(Fake):
        refused = 0

        def alive(self) -> Mapping[Element, str]:
            return {element: "on node1" for element in self.now}

        def submit(self, folder: Path, plan: Plan) -> None:
            if self.submitted and self.refused < 3:
                self.refused += 1
                raise refusal
            super().submit(folder, plan)

    def work(element: Element, group: Sequence[Identity]) -> bool:
        again = bool(fake.refused)
        for run in group:
            if run.seed == 2 or again:
                do(run)
        return not again and group[0].seed == 0

    fake = Away(work)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Away, "ended", lambda self, element: "NODE_FAIL")
        patch.setattr(Launcher, "prune", lambda self: None)

        def listen(self: Launcher, heard: Callable[[Launcher], None] = Launcher.listen) -> None:
            if len(fake.submitted) == 2:
                for group in self.groups:
                    for run in group.runs:
                        do(run)
                fake.now.clear()
            heard(self)

        patch.setattr(Launcher, "listen", listen)
        said = launch(fake)
    assert (fake.refused, fake.submitted[1:]) == (3, [["seed 1"]])
    assert said.count("submitted again") == 1 and said.count(str(refusal)) == 1


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
