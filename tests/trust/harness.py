"""The real command in a session of its own, disturbed or not, and what its results folder may hold at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cli import main as cli
from benchmarks.records.costs import Costs
from benchmarks.records.store import Store
from tests.conftest import ROOT, TINY
from tests.trust.sabotage.saboteur import Plan

PATIENCE = 240.0
"""Seconds that a command may take on a busy machine."""
MOST_STEPS = 60
"""More than any one run has."""
KILLED = -signal.SIGKILL

Tree = dict[str, bytes]


@dataclass
class Ended:
    """A command that has ended, and what it said."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def done(self) -> list[str]:
        """Runs that this command says it did itself."""
        return re.findall(r"\] (\S+ seed \d+): [0-9.]+ % in ", self.err)


def places(results: Path, data_root: Path) -> tuple[str, ...]:
    return ("--protocol", str(TINY), "--results", str(results), "--data-root", str(data_root), "--device", "cpu")


@dataclass
class Command:
    """A command line on one results folder."""

    results: Path
    data_root: Path
    arguments: tuple[str, ...]
    starts: int = field(default=0, init=False)

    @property
    def line(self) -> list[str]:
        return [sys.executable, str(ROOT / "run_all.py"), *places(self.results, self.data_root), *self.arguments]

    def start(self, plan: Plan | None = None, terminal: int | None = None, prefix: Sequence[str] = ()) -> Running:
        """Begin it; `terminal` takes the place of stderr, `prefix` is a program that becomes the command."""
        out, err = self.said()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if plan is not None:
            environment |= {"PYTHONPATH": str(Path(__file__).parent / "sabotage"), "SABOTAGE": json.dumps(asdict(plan))}
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                [*prefix, *self.line],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err if terminal is None else terminal,
                start_new_session=True,
            )
        return Running(process, out, err, time.monotonic())

    def said(self) -> tuple[Path, Path]:
        """Where the next start's stdout and stderr go."""
        self.starts += 1
        beside = self.results.with_name(f"{self.results.name}.{self.starts}")
        return beside.with_suffix(f"{beside.suffix}.out"), beside.with_suffix(f"{beside.suffix}.err")

    def run(self, plan: Plan | None = None, prefix: Sequence[str] = ()) -> Ended:
        return self.start(plan, prefix=prefix).end()

    def strike(self, plan: Plan, after: float | None = None) -> Ended:
        """Begin it under this plan, and kill all of it after so many seconds."""
        running = self.start(plan)
        if after is not None:
            running.kill_after(after)
        return running.end()


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    started: float

    def end(self) -> Ended:
        """Wait for the command itself; workers that outlive a killed launcher are not waited for."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {PATIENCE} s: {self.err.read_text()[-1000:]}") from None
        said = [path.read_text(errors="replace") for path in (self.out, self.err)]
        return Ended(status, said[0], said[1], time.monotonic() - self.started)

    def kill(self) -> None:
        """The command and all its workers, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def kill_after(self, seconds: float) -> None:
        threading.Timer(seconds, self.kill).start()


# Commands that are born grown up --------------------------------------------------------------------------------------------


class Nursery:
    """The process of sabotage/nursery.py, which forks a command that has imported everything already."""

    def __init__(self) -> None:
        line = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "sabotage" / "nursery.py")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(line, cwd=ROOT, env=environment, text=True, **pipes)  # type: ignore[call-overload]
        assert self.process.stdout.readline() == "ready\n"

    def status_of(self, arguments: Sequence[str], plan: Plan, out: Path, err: Path) -> int:
        wanted = {"arguments": list(arguments), "plan": asdict(plan), "out": str(out), "err": str(err)}
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(PATIENCE)


@dataclass
class Forked(Command):
    """A command whose sabotaged starts come from a nursery: for those of a single process."""

    nursery: Nursery | None = None

    def strike(self, plan: Plan, after: float | None = None) -> Ended:
        assert self.nursery is not None
        assert after is None
        (out, err), begun = self.said(), time.monotonic()
        status = self.nursery.status_of(self.line[2:], plan, out, err)
        return Ended(status, out.read_text(errors="replace"), err.read_text(errors="replace"), time.monotonic() - begun)


@contextmanager
def gate(path: Path) -> Iterator[socket.socket]:
    """Where sabotaged processes report and wait: see `arrive`."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(PATIENCE)
        yield listening


def arrive(listening: socket.socket) -> tuple[int, socket.socket]:
    """The next process that comes to the gate; it goes on when its socket is closed."""
    waiting, _ = listening.accept()
    return int(waiting.recv(20)), waiting


def one_by_one(results: Path, data_root: Path, methods: Sequence[str], seeds: Sequence[int]) -> Tree:
    """What a sweep leaves that nothing disturbs: its runs one after the other, in this process."""
    for method in methods:
        for seed in seeds:
            assert cli.main([*places(results, data_root), "--methods", method, "--seeds", str(seed)]) == 0
    return files(results)


# What the results folder may hold -----------------------------------------------------------------------------------------


def files(results: Path) -> Tree:
    """All that stands under its own name: what begins with a dot or is a lock is nobody's result, nor what is kept for the offline page."""
    found = sorted(path for path in results.rglob("*") if path.is_file() and path.parent.name != ".index")
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in found
        if path.suffix != ".lock" and not (path.name.startswith(".") and path.name.endswith(".tmp"))
    }


def lasting(tree: Tree) -> Tree:
    """What must repeat byte for byte: seconds and memory do not."""
    return {name: content for name, content in tree.items() if not name.endswith((".cost.json", ".costs.md", "index.html"))}


def leftovers(results: Path) -> list[str]:
    """Names of what a finished sweep has no use for."""
    kept = (".safetensors", ".features", ".lock", ".json", ".npz", ".md", ".html")
    return [path.name for path in results.rglob("*") if path.is_file() and (path.suffix not in kept or path.name.endswith(".failed.json"))]


def assert_whole(results: Path, undisturbed: Tree) -> None:
    """Whatever is there is whole, and what it will be in the end; where a record is, the rest of its run is."""
    now = files(results)
    for name, content in now.items():
        if name.endswith(".cost.json"):
            Costs.model_validate_json(content)
        elif name.endswith(".failed.json"):
            assert "its process died" in json.loads(content)["error"], content
        elif name.endswith(".checkpoint"):
            assert hashlib.sha256(content[32:]).digest() == content[:32], name
        elif name.endswith(".md"):  # over fewer records, as long as the sweep has not ended
            assert content.endswith(b"\n"), name
            assert content.splitlines()[0] == undisturbed[name].splitlines()[0], name
        elif name == "index.html":
            assert content.endswith(b"</html>\n"), name
        else:
            assert content == undisturbed[name], f"{name} differs from the undisturbed run's"
    for name in now:
        if name.endswith(".json") and not name.endswith((".cost.json", ".failed.json")):
            stem = name.removesuffix(".json")
            assert f"{stem}.npz" in now, f"{name} came before its predictions"
            assert f"{stem}.cost.json" in now, f"{name} came before its costs"
    if (results / "records").exists():
        records, faults, _ = Store(results).load("tiny")
        assert faults == []
        assert len(records) == sum(re.fullmatch(r"records/.*/seed\d+\.json", name) is not None for name in now)


def assert_finished(results: Path, undisturbed: Tree) -> None:
    """Byte for byte what an undisturbed run leaves, and no rubbish."""
    assert_whole(results, undisturbed)
    now = files(results)
    assert lasting(now).keys() == lasting(undisturbed).keys()
    assert lasting(now) == lasting(undisturbed)
    assert now.keys() == undisturbed.keys()
    assert leftovers(results) == []


# Chains of kills ----------------------------------------------------------------------------------------------------------


@dataclass
class Chain:
    """One command, started again and again in one folder and killed each time, until it ends."""

    command: Command
    undisturbed: Tree
    kills: int = 0
    whole: bool = False
    """Whether the last start came to its end."""

    def everywhere(self, *match: str) -> Chain:
        """Killed at every step that matches, once each."""
        while self.strike(self.plan("everywhere", "group", match, 0)):
            assert self.kills < MOST_STEPS, "there is always another: are names drawn at random?"
        return self.finish()

    def at_random(self, draw: random.Random, most: int, seconds: float) -> Chain:
        """Killed `most` times at most: all of it by the clock, the launcher alone, a worker alone, and all of it.

        Where a worker alone is killed, the others bring the sweep to its end.
        """
        for number in range(most):
            deed = ("clock", "launcher", "process", "group")[number % 4]
            plan = self.plan(str(number), deed, ("*",), -1 if deed == "clock" else draw.randint(1, 15))
            if not self.strike(plan, draw.uniform(0.3, 1) * seconds if deed == "clock" else None):
                break
        return self.finish()

    def plan(self, log: str, deed: str, match: Sequence[str], at: int) -> Plan:
        results = self.command.results
        return Plan(str(results), str(results.with_name(f"{results.name}.{log}.log")), deed, match, at, checkpoints=True)

    def strike(self, plan: Plan, after: float | None = None) -> bool:
        """Start, count the kill if there is one, and look at what it leaves. False where there is none."""
        before = strikes(plan)
        ended = self.command.strike(plan, after)
        killed = ended.status == KILLED or strikes(plan) > before
        assert ended.status in ((KILLED, 0, 1) if killed else (0,)), ended.err
        assert "Traceback" not in ended.err
        assert_whole(self.command.results, self.undisturbed)
        self.kills, self.whole = self.kills + killed, ended.status == 0
        return killed

    def finish(self) -> Chain:
        """To the end, undisturbed: a run whose worker was killed has been marked failed, and is done now."""
        if not self.whole:
            ended = self.command.run()
            assert ended.status == 0, ended.err
        assert_finished(self.command.results, self.undisturbed)
        return self


def strikes(plan: Plan) -> int:
    log = Path(plan.log)
    return sum(line.startswith("!") for line in log.read_text().splitlines()) if log.exists() else 0
