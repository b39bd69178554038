"""Sweeps as a user meets them: `python run_all.py ...`, in a process of its own where that matters.

A start costs ten seconds, because torch and Avalanche are imported, so one finished sweep serves most tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.reading import unbroken
from tests.command import ROOT, TINY, Answer, Here, call, of_tiny, record_files, rows

METHODS = "base_only,proto,ft_cnn"


def run_tiny(data_root: Path, results: Path, *arguments: str, **keywords: object) -> Answer:
    """In a process of its own."""
    return call(*of_tiny(data_root, results), *arguments, **keywords)  # type: ignore[arg-type]


def hashes(results: Path) -> dict[str, str]:
    files = [*record_files(results), *results.glob("tiny.md")]
    return {path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Results of a finished sweep by two workers. Tests that write into them take a copy."""
    results = tmp_path_factory.mktemp("finished") / "results"
    answer = run_tiny(data_root, results, "--methods", METHODS, "--seeds", "0-1", "--workers", "2")
    assert answer.status == 0, answer.err
    assert answer.out.splitlines()[-1] == "6 runs done, 0 were there already, 0 failed"
    return results


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "results"))


# A sweep ----------------------------------------------------------------------------------------------------------------


def test_a_sweep_writes_records_and_table(finished: Path) -> None:
    assert len([path for path in record_files(finished) if path.suffix == ".json"]) == 6
    assert len([path for path in record_files(finished) if path.suffix == ".npz"]) == 6
    text = (finished / "tiny.md").read_text(encoding="utf-8")
    for label in ("BaseOnly", "Proto (raw_mean)", "Ft-CNN (topic)"):
        accuracy = rows(text, label)[0]
        assert accuracy[1] == "2"
        assert all(cell.endswith(" (2 seeds)") for cell in accuracy[2:])
    assert "## Runs that failed" not in text
    assert not list(finished.rglob("*.tmp"))


def test_the_same_command_again_does_nothing(finished: Path, data_root: Path, here: Here) -> None:
    before, times = hashes(finished), {path: path.stat().st_mtime_ns for path in record_files(finished)}
    answer = here(*of_tiny(data_root, finished), "--methods", METHODS, "--seeds", "0-1", "--workers", "2")
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == "0 runs done, 6 were there already, 0 failed"
    assert hashes(finished) == before
    assert {path: path.stat().st_mtime_ns for path in record_files(finished)} == times


def test_report_only_gives_the_same_table_and_needs_the_records_alone(finished: Path, copy: Path, here: Here, tmp_path: Path) -> None:
    """Nothing changes but the line that says how many records have their predictions beside them."""
    expected = (finished / "tiny.md").read_text(encoding="utf-8")
    for path in copy.rglob("*"):
        if path.is_file() and (path.suffix != ".json" or path.name.endswith(".cost.json")):
            path.unlink()
    answer = here("--protocol", str(TINY), "--results", str(copy), "--data-root", str(tmp_path / "none"), "--report-only")
    assert answer.status == 0
    said = "6 of these 6 records had their predictions beside them, so that `--verify` can count again; the other 0"
    without = "0 of these 6 records had their predictions beside them, so that `--verify` can count again; the other 6"
    assert said in unbroken(expected)
    assert unbroken((copy / "tiny.md").read_text(encoding="utf-8")) == unbroken(expected).replace(said, without)
    assert answer.out.splitlines() == [str(copy / name) for name in ("tiny.md", "tiny.matrix.md", "tiny.costs.md", "index.html")]
    assert "| Method" not in (copy / "tiny.costs.md").read_text(encoding="utf-8"), "no costs, no table of costs"
    assert not (tmp_path / "none").exists()


@pytest.fixture
def plan(here: Here, data_root: Path) -> Callable[[Path, str], str]:
    """plan(results, seeds): what `--plan` says of METHODS."""

    def plan(results: Path, seeds: str) -> str:
        answer = here(*of_tiny(data_root, results), "--methods", METHODS, "--seeds", seeds, "--plan", "--workers", "1")
        assert answer.status == 0
        return answer.out

    return plan


def test_plan_trains_nothing(plan: Callable[[Path, str], str], tmp_path: Path) -> None:
    text = plan(tmp_path / "results", "0-1")
    assert "6 runs, 0 done, 6 to do" in text
    assert "ft_cnn:topic seed 1" in text
    assert not (tmp_path / "results").exists()


def test_plan_knows_what_is_done_and_what_it_cost(plan: Callable[[Path, str], str], finished: Path) -> None:
    before, text = hashes(finished), plan(finished, "0-2")
    assert "9 runs, 6 done, 3 to do" in text
    assert "proto:raw_mean seed 2" in text
    assert "proto:raw_mean seed 1" not in text
    assert "estimate: " in text
    assert hashes(finished) == before


def test_plan_of_what_is_all_done_does_not_call_it_new(plan: Callable[[Path, str], str], finished: Path) -> None:
    text = plan(finished, "0-1")
    assert "6 runs, 6 done, 0 to do" in text
    assert "none of these has been run here before" not in text


# A study ----------------------------------------------------------------------------------------------------------------

STUDY = """
name: rates
title: Rates of Ft-CNN
reference: slow
variants:
  - {label: slow, method: "ft_cnn:slow"}
  - {label: fast, method: ft_cnn, set: {lr: 0.5}}
  - {label: nothing, method: base_only}
figures: [accuracy, drift]
"""


def test_a_users_study_shares_bases_and_runs_with_the_table(copy: Path, here: Here, tmp_path: Path, data_root: Path) -> None:
    """Without code: BaseOnly's records are there, but nobody has looked at its drift; they come out as they were."""
    study, before = tmp_path / "rates.yaml", {path: path.read_bytes() for path in record_files(copy)}
    study.write_text(STUDY)
    bases = {path: path.stat().st_mtime_ns for path in (copy / ".base").glob("*.safetensors")}
    asked = ("--study", str(study), "--seeds", "0-1", "--workers", "1")
    assert "6 runs, 0 done, 6 to do" in here(*of_tiny(data_root, copy), *asked, "--plan").out
    answer = here(*of_tiny(data_root, copy), *asked)
    assert answer.status == 0, answer.err
    assert answer.out.splitlines()[-1] == "6 runs done, 0 were there already, 0 failed"
    assert {path: path.stat().st_mtime_ns for path in (copy / ".base").glob("*.safetensors")} == bases
    assert {path: path.read_bytes() for path in before} == before
    page = (copy / "tiny.study-rates.md").read_text(encoding="utf-8")
    assert [rows(page, label)[0][1:3] for label in ("slow", "fast", "nothing")] == [
        ["Ft-CNN (slow)", "2"],
        ["Ft-CNN (topic, lr=0.5)", "2"],
        ["BaseOnly", "2"],
    ]
    for figure in ("accuracy", "drift"):
        for kind in ("svg", "png", "csv"):
            assert (copy / "figures" / f"tiny.fast.paper.rates.{figure}.{kind}").stat().st_size > 0
    files = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.suffix in (".md", ".svg", ".png", ".csv")}
    assert here(*of_tiny(data_root, copy), *asked).out.splitlines()[-1] == "0 runs done, 6 were there already, 0 failed"
    assert here(*of_tiny(data_root, copy), "--study", str(study), "--report-only").status == 0
    assert {path: path.read_bytes() for path in files} == files


# Failures ---------------------------------------------------------------------------------------------------------------


FLAKY = '''"""Flaky: fails until a file is there."""
import os
from pathlib import Path

from methods.base_only import BaseOnly


class Flaky(BaseOnly):
    title = "Flaky"

    def after_session(self) -> None:
        if self.session == 1 and not Path(os.environ["MENDED"]).exists():
            raise RuntimeError("not mended\\nyet")
'''

KILLER = '''"""Killer: takes its process along, and says so each time."""
import os
import signal

from methods.base_only import BaseOnly


class Killer(BaseOnly):
    title = "Killer"

    def after_session(self) -> None:
        if self.session == 1:
            os.write(2, b"one death\\n")
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the suite with three files more in methods/: all that a new method takes."""
    suite = tmp_path_factory.mktemp("suite")
    for folder in ("benchmarks", "methods", "protocols"):
        shutil.copytree(ROOT / folder, suite / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_all.py", suite)
    (suite / "methods" / "flaky.py").write_text(FLAKY)
    (suite / "methods" / "killer.py").write_text(KILLER)
    quitter = (
        KILLER.replace("Killer", "Quitter").replace("os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)").replace("one death", "a way out")
    )
    (suite / "methods" / "quitter.py").write_text(quitter)
    return suite


def test_a_failure_is_forgotten_when_the_run_succeeds(extended: Path, copy: Path, tmp_path: Path, data_root: Path) -> None:
    mended = tmp_path / "mended"
    command = ("--methods", "flaky,base_only", "--seeds", "0", "--workers", "1")
    before = hashes(copy)
    answer = run_tiny(data_root, copy, *command, suite=extended, MENDED=str(mended))
    assert answer.status == 1
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    assert "- flaky:default seed 0 (fast.paper): RuntimeError: session 1: not mended\n" in text
    assert rows(text, "Flaky") == []

    mended.touch()
    answer = run_tiny(data_root, copy, *command, suite=extended, MENDED=str(mended))
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == "1 runs done, 1 were there already, 0 failed"
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    assert "## Runs that failed" not in text
    assert not list(copy.rglob("*.failed.json"))
    flaky, base_only = (json.loads(next(copy.glob(f"records/*/*/{name}-*/seed00.json")).read_bytes()) for name in ("flaky", "base_only"))
    assert flaky["sessions"] == base_only["sessions"], "it does what BaseOnly does"
    assert rows(text, "Flaky")
    after = hashes(copy)
    assert {name: after[name] for name in before if name != "tiny.md"} == {name: before[name] for name in before if name != "tiny.md"}


def test_a_sweep_that_is_told_to_stop_takes_its_workers_along(data_root: Path, tmp_path: Path) -> None:
    """SIGTERM, as `kill`, a container and a scheduler send it: to the launcher alone. The same command goes on."""
    asked = [*of_tiny(data_root, tmp_path), "--methods", "lecnet", "--seeds", "0-3", "--workers", "2"]
    line = [sys.executable, str(ROOT / "run_all.py"), *asked]
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob(".base/*.lock")):
        time.sleep(0.05)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert "interrupted; the same command goes on where it stopped" in said
    with pytest.raises(ProcessLookupError):
        for _ in range(50):  # the kernel may take a moment
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def test_runs_that_fail_are_named_and_the_others_finish(extended: Path, copy: Path, data_root: Path) -> None:
    """One takes its worker along (out of memory, say), which is replaced, and the run not tried again. The other has an absurd rate, which
    gives scores that are no numbers. BaseOnly is sound."""
    before = hashes(copy)
    command = ("--methods", "killer,quitter,ft_cnn,base_only", "--seeds", "2", "--set", "ft_cnn.lr=1e6", "--workers", "2")
    answer = run_tiny(data_root, copy, *command, suite=extended)
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == "1 runs done, 0 were there already, 3 failed"
    assert "Traceback" not in answer.err
    assert answer.err.count("one death") == 1
    assert answer.err.count("killer:default seed 2: FAILED") == 1
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    failed = text[text.index("## Runs that failed") :]
    assert "killer:default seed 2 (fast.paper): its process died" in failed
    assert "quitter:default seed 2 (fast.paper): it ended its own process (exit 0)" in failed
    assert answer.err.count("a way out") == 1
    assert "ft_cnn:topic[lr=1000000.0] seed 2 (fast.paper): " in failed
    assert "NaN" in failed or "nan" in failed
    assert rows(text, "Ft-CNN (topic, lr=1000000.0)") == []
    assert rows(text, "BaseOnly")[0][1] == "3"
    assert rows(text, "Ft-CNN (topic)")[0][1] == "2 of 3", "the sound variant stays as it was"
    after = hashes(copy)
    assert {name: after[name] for name in before if name != "tiny.md"} == {name: before[name] for name in before if name != "tiny.md"}
