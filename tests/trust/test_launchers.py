"""Two launchers on one folder: they share the runs and the bases, do none twice, and wait for no dead one.

A gate holds a process at a chosen step until the other is where it should be, so that they meet without fail.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import socket

import pytest

from tests.trust.harness import KILLED, Command, Running, Tree, arrive, assert_finished, gate, one_by_one
from tests.trust.sabotage.saboteur import Plan

METHODS, SEEDS = ("base_only", "proto", "ft_cnn"), (0, 1)
RUNS = 6
FIRST_RUN, WRITING_A_BASE = "lock records/*", "flush .base/*.safetensors.tmp"


@pytest.fixture(scope="module")
def alone(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return one_by_one(tmp_path_factory.mktemp("alone"), data_root, METHODS, SEEDS)


class Pair:
    """Two launchers with a worker each, and the gates at which their workers report."""

    def __init__(self, folder: Path, data_root: Path, gates: list[socket]) -> None:
        line = ("--methods", ",".join(METHODS), "--seeds", "0-1", "--workers", "1")
        self.command = Command(folder / "results", data_root, line)
        self.gates = gates

    def start(self, number: int, at: str) -> Running:
        """The launcher of this number, whose worker will come to its gate at this step."""
        results, log = self.command.results, self.command.results.with_name(f"steps{number}.log")
        return self.command.start(Plan(str(results), str(log), "gate", (at,), gate=self.gates[number].getsockname()))


@pytest.fixture
def pair(tmp_path: Path, data_root: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, data_root, [stack.enter_context(gate(tmp_path / f"gate{number}")) for number in range(2)])


def bases_trained(results: Path) -> list[int]:
    """Seeds of the runs that trained their base."""
    costs = {path: json.loads(path.read_bytes()) for path in results.rglob("*.cost.json")}
    assert len(costs) == RUNS
    return sorted(int(path.name[4:6]) for path, cost in costs.items() if cost["base_seconds"] > 0)


def test_two_launchers_share_the_work(pair: Pair, alone: Tree) -> None:
    """Both see all runs missing, and begin at the same moment."""
    launchers = [pair.start(number, FIRST_RUN) for number in range(2)]
    waiting = [arrive(listening)[1] for listening in pair.gates]
    for one in waiting:
        one.close()
    ended = [launcher.end() for launcher in launchers]
    assert [end.status for end in ended] == [0, 0], [end.err for end in ended]
    done = [run for end in ended for run in end.done]
    assert len(done) == len(set(done)) == RUNS, done
    assert [end.err.count("done by another process") for end in ended] == [RUNS - len(end.done) for end in ended]
    for end in ended:
        beside = f", {RUNS - len(end.done)} by another process" if len(end.done) < RUNS else ""
        assert f"\n{len(end.done)} runs done{beside}, 0 were there already, 0 failed" in end.out
    assert bases_trained(pair.command.results) == list(SEEDS)
    assert_finished(pair.command.results, alone)


def test_a_launcher_that_is_killed_with_its_worker_blocks_nobody(pair: Pair, alone: Tree) -> None:
    """In the middle of writing a base, with the locks of it and of a run; the other is about to ask for the same base."""
    first = pair.start(0, WRITING_A_BASE)
    _, held = arrive(pair.gates[0])
    second = pair.start(1, "lock .base/*")
    _, waiting = arrive(pair.gates[1])
    waiting.close()
    first.kill()
    assert first.end().status == KILLED
    ended = second.end()
    held.close()
    assert ended.status == 0, ended.err
    assert len(set(ended.done)) == len(ended.done) == RUNS
    assert bases_trained(pair.command.results) == list(SEEDS)
    assert_finished(pair.command.results, alone)


def test_a_worker_leaves_with_its_launcher(pair: Pair) -> None:
    """Though it has nothing to report, as in a computation of many minutes: it would go on unseen, and hold its run's lock."""
    first = pair.start(0, WRITING_A_BASE)
    worker, held = arrive(pair.gates[0])
    assert worker != first.process.pid
    os.kill(first.process.pid, signal.SIGKILL)
    assert first.end().status == KILLED
    held.settimeout(30)
    assert held.recv(1) == b"", "the other end is closed: the worker has ended"
    held.close()


def test_a_worker_that_is_killed_blocks_nobody(pair: Pair, alone: Tree, data_root: Path) -> None:
    """Its launcher marks its run as failed, unless the other has taken it up by then; the next sweep does it."""
    first = pair.start(0, WRITING_A_BASE)
    worker, held = arrive(pair.gates[0])
    second = pair.start(1, "lock .base/*")
    _, waiting = arrive(pair.gates[1])
    assert worker != first.process.pid
    os.kill(worker, signal.SIGKILL)
    waiting.close()
    ended = [first.end(), second.end()]
    held.close()
    marked = ended[0].err.count("base_only:default seed 0: FAILED: its process died (exit -9)")
    assert [end.status for end in ended] == [marked, marked], [end.err for end in ended]
    done = [run for end in ended for run in end.done]
    assert len(done) == len(set(done)) == RUNS - marked
    one_by_one(pair.command.results, data_root, METHODS, SEEDS)
    assert_finished(pair.command.results, alone)
