"""The launcher: submits groups of runs, shows how they go, and submits again what ended before it was done.

It keeps nothing that the next launcher would miss. What is done is in the records; what is queued, the scheduler knows; what an element
holds, its plan says. So it may be killed and started again, and two of them may work on one folder.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.planning.ledger import Ledger
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors.group import Group
from benchmarks.sweeping.executors.plans import FOLDER, Plan, named, read_plan, sources_now
from benchmarks.sweeping.executors.scheduler import QUEUED, Element, FullError, Scheduler
from benchmarks.sweeping.executors.telling import CHANGED, Reader, events_path
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.sweeping.worker import Task, failed_since
from benchmarks.system.errors import RecordError, StorageError, UsageError
from benchmarks.system.files import locked

RETRIES = 3
"""How often a group is submitted again after its element ended unfinished."""
OF_MEMORY = re.compile("out_?of_?memory", re.IGNORECASE)
"""In a state of Slurm or an error of Ray. Such a group is submitted again once."""
TOLD_SECONDS, LONGEST_LOOK, FULL_SECONDS, ENDING_SECONDS = 1.0, 15.0, 30.0, 60.0
"""Between two looks at what elements tell; at most between two at the scheduler; before a full scheduler is asked again; for which an
element that has done its runs may take to end."""


class Launcher:
    """`workers` is the number of runs that an element does at a time, `patience` the seconds after which it must be seen here what another
    node wrote."""

    def __init__(
        self, scheduler: Scheduler, task: Task, groups: Sequence[Sequence[Identity]], workers: int, progress: Progress, patience: float
    ) -> None:
        self.scheduler, self.task, self.workers, self.progress, self.patience = scheduler, task, workers, progress, patience
        self.folder = task.settings.results / FOLDER
        self.sources = sources_now(task.settings.methods_dir)
        self.groups = [Group(list(runs), named(runs)) for runs in groups]
        self.wanted = {str(run.stem) for group in self.groups for run in group.runs}
        self.plans: dict[str, Plan] = {}
        self.readers: dict[Element, Reader] = {}
        self.silent: set[Path] = set()  # runs that are settled, but of which no event has come yet
        self.full_until, self.refused = 0.0, ""

    def launch(self) -> None:
        """Returns when every run is done, failed or given up. Raises UsageError if the scheduler refuses all of them."""
        look, pause = 0.0, 1.0
        try:
            while self.groups:
                self.listen()
                self.progress.tick()
                if time.monotonic() >= look:
                    pause = 1.0 if self.look() else min(LONGEST_LOOK, 1.5 * pause)
                    look = time.monotonic() + pause
                time.sleep(TOLD_SECONDS if self.groups else 0.0)
            self.prune()
        except (KeyboardInterrupt, UsageError, StorageError):
            if held := [group.held for group in self.groups if group.held is not None]:
                self.progress.note(self.scheduler.how_to_stop(held))
            raise
        finally:
            self.scheduler.close()

    def listen(self) -> None:
        """Shows what elements have told since."""
        for (name, number), reader in self.readers.items():
            for said in reader.read():
                if isinstance(said, str):
                    plan = self.plans.get(name)
                    self.progress.note(f"{named(plan.groups[number]) if plan else name}: {said}")
                elif said.key in self.wanted:
                    self.progress.event(said)

    def look(self) -> bool:
        """Sees who has which runs, and submits what nobody has. Returns whether anything has changed."""
        alive = self.scheduler.alive()
        holders = self.holders(alive)
        before = [(group.held, group.state, len(group.runs)) for group in self.groups]
        ready = [group for group in self.groups if self.is_ready(group, holders, alive)]
        if ready and time.monotonic() >= self.full_until:
            self.submit(ready)
        self.groups = [group for group in self.groups if group.runs]
        self.progress.workers = max(1, self.workers * len({group.held for group in self.groups if group.at_work}))
        return before != [(group.held, group.state, len(group.runs)) for group in self.groups]

    def holders(self, alive: Iterable[Element]) -> dict[Path, Element]:
        """Which element has a run, by the run's stem."""
        found: dict[Path, Element] = {}
        for name, number in alive:
            plan = self.plan(name)
            if plan is not None and number < len(plan.groups):
                found |= {run.stem: (name, number) for run in plan.groups[number]}
        return found

    def plan(self, name: str) -> Plan | None:
        """The plan of this name; None if it is not of this folder, gone, or of another release."""
        if name not in self.plans:
            try:
                self.plans[name] = read_plan(self.folder / name)
            except (OSError, RecordError):
                return None
        return self.plans[name]

    def is_ready(self, group: Group, holders: Mapping[Path, Element], alive: Mapping[Element, str]) -> bool:
        """Drops what is settled from the group, and returns whether the rest is to be submitted now."""
        group.runs = [run for run in group.runs if not self.is_settled(run)]
        held = next((holders[run.stem] for run in group.runs if run.stem in holders), None)
        if held is not None:
            self.keep(group, held, alive[held])
            return False
        if not group.runs or group.held is None:
            return bool(group.runs)
        if group.since is None:
            group.since, group.state = time.monotonic(), ""
            self.forget(group)
        if time.monotonic() - group.since < self.patience:
            return False
        state = self.scheduler.ended(group.held)
        ended = f"its element ended before it was done ({self.scheduler.name}: {state})"
        if group.submitted > (retries := 1 if OF_MEMORY.search(state) else RETRIES):
            self.give_up(group, ended)
            return False
        group.ended = f"{group.name}: {ended}; submitted" + (f" again, {group.submitted} of {retries}" if group.submitted else "")
        return True

    def is_settled(self, run: Identity) -> bool:
        """Whether a run is done or has failed. Its own event comes first, if it comes by the next look."""
        done = self.task.ledger.is_done(run)
        failed = None if done else failed_since(self.task.store, run, self.task.started)
        if not done and failed is None:
            return False
        if str(run.stem) not in self.progress.ended_runs:
            if run.stem not in self.silent:
                self.silent.add(run.stem)
                return False
            self.progress.event(Event.of("elsewhere" if done else "failed", run, failed or ""))
        return True

    def keep(self, group: Group, element: Element, state: str) -> None:
        """Notes that this element has the group's runs."""
        if element not in self.readers:  # another launcher's: what it has told before is not news
            self.readers[element] = Reader(events_path(self.folder / element[0], element[1]), from_now=True)
        if state != group.state and state.startswith(QUEUED):
            self.forget(group)
            self.progress.event(Event.of("waits", group.runs[0], state))
        elif state != group.state and group.state.startswith(QUEUED):
            self.forget(group)
        group.held, group.state, group.since = element, state, None

    def forget(self, group: Group) -> None:
        """Shows none of the group's runs as at work."""
        for run in group.runs:
            self.progress.event(Event.of("later", run))

    def submit(self, groups: Sequence[Group]) -> None:
        """Submits these groups, as many at once as the scheduler takes, unless another launcher has just done so."""
        if sources_now(self.task.settings.methods_dir) != self.sources:
            for group in groups:
                self.progress.note(
                    f"{group.name}: not submitted: {CHANGED.replace('element was submitted', 'command began')}; start it again"
                )
                group.runs = []
            return
        with locked(self.folder / "submitting.lock", wait=True):
            holders, most = self.holders(self.scheduler.alive()), self.scheduler.most
            left = [group for group in groups if not any(run.stem in holders for run in group.runs)]
            while left:
                part = left[:most]
                try:
                    self.submit_part(part)
                except FullError as full:
                    most = len(part) // 2
                    if most:
                        continue
                    if not holders and not any(group.held for group in self.groups):
                        raise UsageError(f"--executor {self.scheduler.name.lower()}: {full}") from None
                    return self.ask_later(f"{len(left)} elements wait for a place: {full}")
                except UsageError as refused:
                    if not any(group.held is not None and group.since is None for group in self.groups):
                        raise
                    return self.ask_later(f"{refused}; asked again while other elements are at work")
                left = left[len(part) :]

    def ask_later(self, why: str) -> None:
        """The scheduler takes nothing now, which is told once."""
        if why != self.refused:
            self.progress.note(why)
        self.refused = why
        self.full_until = time.monotonic() + FULL_SECONDS

    def submit_part(self, groups: Sequence[Group]) -> None:
        """Submits a plan that holds these groups. Nothing of it stays if the scheduler refuses it."""
        plan = Plan(self.task, tuple(tuple(group.runs) for group in groups), self.workers, self.sources)
        folder = plan.write()
        try:
            self.scheduler.submit(folder, plan)
        except (FullError, UsageError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.plans[folder.name] = plan
        for number, group in enumerate(groups):
            if group.ended:
                self.progress.note(group.ended)
            self.refused = ""
            group.held, group.since, group.submitted, group.ended = (folder.name, number), None, group.submitted + 1, ""
            self.readers[folder.name, number] = Reader(events_path(folder, number))

    def give_up(self, group: Group, ended: str) -> None:
        """Notes the group's runs as failed."""
        assert group.held is not None
        why = f"{ended}, {group.submitted} times; its output is in {FOLDER}/{group.held[0]}"
        if not self.readers[group.held].began:
            why += f"; it did not even begin: do the nodes see {self.task.settings.results} and {self.task.settings.data_root}?"
        for run in group.runs:
            with locked(self.task.store.path(run, ".lock"), wait=False) as free:
                if free and not self.task.ledger.is_done(run):
                    self.task.store.save_failure(run, Failure(why, ""))
                    self.progress.event(Event.of("failed", run, why))
        group.runs = []

    def ended(self) -> Mapping[Element, str]:
        """What is alive once the scheduler knows that the elements of this launcher have ended, or after ENDING_SECONDS."""
        end, own = time.monotonic() + ENDING_SECONDS, self.readers.keys()
        while own & (alive := self.scheduler.alive()).keys() and time.monotonic() < end:
            time.sleep(1)
        return alive

    def prune(self) -> None:
        """Removes plans, and the output of their elements, if these have ended and all their runs are done."""
        ledger = Ledger(self.task.store)
        with locked(self.folder / "submitting.lock", wait=True):
            alive = {name for name, _ in self.ended()}
            for folder in self.folder.glob("*/"):
                plan = self.plan(folder.name)
                if folder.name not in alive and plan is not None and not any(ledger.missing(group) for group in plan.groups):
                    shutil.rmtree(folder, ignore_errors=True)
