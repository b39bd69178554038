"""A real Slurm of three nodes on this machine (slurm.sh): the bytes of a local sweep, whatever happens in the middle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.planning.ledger import Ledger
from benchmarks.records.store import Store
from benchmarks.sweeping.executors.plans import Plan
from benchmarks.sweeping.executors.scheduler import FullError
from benchmarks.sweeping.executors.slurm import Slurm
from benchmarks.sweeping.worker import Task
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.cluster.conftest import ASKED, RUNS, Start, asked, wait_for
from tests.trust.harness import KILLED, Command, Ended, Running, Tree, assert_finished

SCRIPT = Path(__file__).parent / "slurm.sh"
SBATCH = """#!/bin/sh
# Counts what is submitted; kills the launcher just after, if asked to.
{real} "$@"
status=$?
echo submitted >>{log}
[ -z "$KILL_LAUNCHER" ] || kill -KILL $PPID
exit $status
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The folder of a Slurm that runs; clients of this process find it."""
    folder = Path(tempfile.mkdtemp(prefix="fscil-", dir="/tmp"))  # sockets need a short path
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        subprocess.run(["bash", str(SCRIPT), "start", str(folder)], check=True, timeout=600)
        yield folder
    finally:
        subprocess.run(["bash", str(SCRIPT), "stop", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["SLURM_CONF"]
        if before is not None:
            os.environ["SLURM_CONF"] = before


class Site:
    """A results folder, and launchers on it."""

    def __init__(self, results: Path, data_root: Path, tools: Path) -> None:
        self.results, self.data_root, self.log = results, data_root, tools / "submitted"
        self.commands: dict[tuple[str, ...], Command] = {}

    def command(self, slurm: str = "", *more: str) -> Command:
        """The same object for the same line, since it counts its starts."""
        line = (*ASKED, "--executor", "slurm", "--slurm", f"time=20,patience=3{slurm}", *more)
        return self.commands.setdefault(line, Command(self.results, self.data_root, line))

    @property
    def submissions(self) -> int:
        return self.log.read_text().count("submitted") if self.log.exists() else 0

    def plans(self) -> list[Path]:
        return sorted((self.results / ".cluster").glob("*/"))

    def began(self) -> list[Path]:
        return sorted((self.results / ".cluster").glob("*/*.events"))

    def running(self) -> list[tuple[str, str]]:
        """Job and node of each element at work."""
        rows = asked("squeue", "--noheader", "--states=RUNNING", "--format=%i %N").split("\n")
        return [(row.split()[0], row.split()[1]) for row in rows if row]

    def one_at_work(self) -> tuple[str, str]:
        """Job and node of an element that has said that it begins a run."""

        def at_work() -> list[tuple[str, str]]:
            numbers = {path.stem for path in self.began() if '"start"' in path.read_text()}
            return [(job, node) for job, node in self.running() if job.rpartition("_")[2] in numbers]

        found: list[tuple[str, str]] = wait_for(at_work, "an element begins a run")
        return found[0]


@pytest.fixture
def site(slurm: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    tools = tmp_path / "tools"
    tools.mkdir()
    real = asked("which", "sbatch").strip()
    (tools / "sbatch").write_text(SBATCH.format(real=real, log=tools / "submitted"))
    (tools / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    yield Site(tmp_path / "results", data_root, tools)
    subprocess.run(["scancel", f"--user={os.getuid()}"], check=False)
    wait_for(lambda: not asked("squeue", "--noheader"), "all elements end")


def assert_done(site: Site, ended: Ended, alone: Tree) -> None:
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err
    assert len(ended.done) == len(set(ended.done)), "each run is done once"
    assert_finished(site.results, alone)
    assert site.plans() == [], "nothing is left of what is done"


def test_two_nodes_give_the_bytes_of_one_process(site: Site, start: Start, alone: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """From within another job, whose variables change nothing."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SLURM_CPU_BIND", "map_cpu:999")
    running = start(site.command())
    nodes = wait_for(lambda: {node for _, node in site.running()} >= {"n1", "n2"}, "both nodes are at work")
    ended = running.end()
    assert nodes
    assert site.submissions == 1
    assert len(ended.done) == RUNS
    assert_done(site, ended, alone)


def test_a_killed_element_and_a_node_that_goes_down_go_on(site: Site, start: Start, alone: Tree) -> None:
    running = start(site.command())
    job, _ = site.one_at_work()
    asked("scancel", "--signal=KILL", job)
    wait_for(lambda: job not in dict(site.running()), "the element is dead")
    _, node = wait_for(site.running, "another element is at work")[0]
    asked("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        wait_for(lambda: node not in {name for _, name in site.running()}, "the node is given up")
    finally:
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False)  # it may be back already
    ended = running.end()
    assert re.search(r"its element ended before it was done \(Slurm: \w+\); submitted again, 1 of 3", ended.err), ended.err
    assert_done(site, ended, alone)


def test_an_interrupted_element_is_queued_again_and_nothing_has_failed(site: Site, start: Start, alone: Tree) -> None:
    """USR2 is what Slurm sends before a time limit, and where the cluster says so before a preemption. Slurm may end the element before it
    can say that it was interrupted (tests/benchmarks/sweeping/test_elements.py has that part)."""
    running = start(site.command())
    job, _ = site.one_at_work()
    asked("scancel", "--signal=USR2", job)
    ended = running.end()
    assert re.search(r"queued \(\w+\)", ended.err), ended.err
    assert "FAILED" not in ended.err
    assert site.submissions == 1, "Slurm has queued it again by itself"
    assert_done(site, ended, alone)


def test_a_launcher_killed_straight_after_sbatch(site: Site, start: Start, alone: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its elements wait for a file that it did not write, and fail after a minute; the next launcher sees to them."""
    monkeypatch.setenv("KILL_LAUNCHER", "1")
    assert site.command().run().status == KILLED
    assert site.submissions == 1
    assert site.began() == []
    monkeypatch.delenv("KILL_LAUNCHER")
    second = start(site.command())
    ended = second.end()
    assert site.submissions in (2, 3), "nothing while they are there, and each group once afterwards"
    assert_done(site, ended, alone)


def test_two_launchers_at_once_of_which_one_is_killed(site: Site, start: Start, alone: Tree) -> None:
    """Both see all runs missing. One submits; the other finds what is queued, and brings it to the end."""
    launchers = [start(site.command()) for _ in range(2)]
    for launcher in launchers:
        wait_for(lambda: "Slurm: 2 elements" in launcher.err.read_text(), "both have begun")  # noqa: B023
    site.one_at_work()
    launchers[0].kill()
    ended = launchers[1].end()
    assert site.submissions == 1, "each group is submitted once"
    assert_done(site, ended, alone)


def end_of(running: Running) -> Ended:
    ended = running.end()
    assert ended.status == 2, ended.err
    assert "Traceback" not in ended.err
    return ended


def test_an_array_that_is_too_large_can_be_submitted_in_parts(site: Site, tiny: Protocol, tmp_path: Path) -> None:
    scheduler = Slurm({"time": "20"}, 1)
    assert scheduler.most == 2
    task = Task(tiny, Settings(tmp_path, site.results, "cpu", 1), Ledger(Store(site.results)), 0.0, "a sweep")
    plan = Plan(task, ((),) * 4, 1, "sources")
    with pytest.raises(FullError, match="array"):
        scheduler.submit(plan.write(), plan)


def test_no_such_partition(site: Site, start: Start) -> None:
    ended = end_of(start(site.command(",partition=nowhere")))
    said = ended.err.strip().splitlines()[-1]
    assert said.startswith("run_all.py: --executor slurm: nothing was submitted: invalid partition specified: nowhere"), said
    assert site.plans() == []


def test_a_results_folder_that_a_node_does_not_see(slurm: Path, site: Site) -> None:
    site.results = slurm / "unseen" / "results"
    ended = site.command(",partition=blind", "--seeds", "0").run()
    assert ended.status == 1, ended.err
    assert "it did not even begin: do the nodes see" in ended.err
    page = (site.results / "tiny.md").read_text()
    assert "it did not even begin" in page, "the failure is named in the table"
