"""`python run_all.py ...`, in a process of its own or in this one, on the tiny protocol."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.yaml"


@dataclass
class Answer:
    status: int
    out: str
    err: str
    user_seconds: float = 0.0

    @property
    def lines(self) -> list[str]:
        """Of stderr."""
        return self.err.splitlines()


def call(*arguments: str, suite: Path = ROOT, python: tuple[str, ...] = (), timeout: float = 240, **variables: str) -> Answer:
    """Run the suite in `suite`; kill it and all its workers when it takes too long."""
    environment = {key: value for key, value in os.environ.items() if key != "FSCIL_DATA"} | {"OMP_NUM_THREADS": "1"} | variables
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    process = subprocess.Popen(
        [sys.executable, *python, str(suite / "run_all.py"), *arguments],
        cwd=suite,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"still running after {timeout} s; its last words: {err[-1000:]}")
    return Answer(process.returncode, out, err, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)


Here = Callable[..., Answer]


def of_tiny(data_root: Path, results: Path) -> tuple[str, ...]:
    """Options of every run of the tiny protocol, on the CPU."""
    return "--protocol", str(TINY), "--data-root", str(data_root), "--results", str(results), "--device", "cpu"


def record_files(results: Path) -> list[Path]:
    """Records and predictions: what must repeat byte for byte."""
    found = (results / "records").rglob("seed*")
    return sorted(path for path in found if path.suffix in (".json", ".npz") and not path.name.endswith(".cost.json"))


def rows(markdown: str, label: str) -> list[list[str]]:
    """Cells of all table rows that start with the label."""
    lines = [line.strip("|").split("|") for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in cells] for cells in lines if cells[0].strip() == label]
