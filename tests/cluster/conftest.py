"""What the tests on a real Slurm and a real Ray share: launchers, and a sweep that nothing disturbed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trust import harness
from tests.trust.harness import Command, Running, Tree, one_by_one

METHODS, SEEDS = ("base_only", "proto"), (0, 1)
RUNS = len(METHODS) * len(SEEDS)
ASKED = ("--methods", ",".join(METHODS), "--seeds", "0-1")
Start = Callable[[Command], Running]
PATIENCE = 900.0
"""Seconds. An element starts four processes, and all nodes share this machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need a cluster, and are run by `make test-cluster` alone."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "PATIENCE", PATIENCE)


@pytest.fixture(scope="session")
def alone(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """What the sweep leaves where one process does its runs, one after another."""
    return one_by_one(tmp_path_factory.mktemp("alone"), data_root, METHODS, SEEDS)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a launcher, which is killed after the test at the latest."""
    started: list[Running] = []

    def start(command: Command) -> Running:
        started.append(command.start())
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.kill()


def wait_for(what: Callable[[], Any], said: str) -> Any:
    """What the function returns once that is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not in {PATIENCE} s: {said}")


def asked(*line: str) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ).stdout
