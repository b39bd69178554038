"""The suite as a user meets it: `python run_all.py ...` in processes of their own.

A start costs seconds, because torch and Avalanche are imported, so one finished sweep serves most tests.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.yaml"
METHODS = "base_only,proto,ft_cnn"


@dataclass
class Answer:
    status: int
    out: str
    err: str
    user_seconds: float

    @property
    def lines(self) -> list[str]:
        """Of stderr."""
        return self.err.splitlines()


def call(*arguments: str, suite: Path = ROOT, python: tuple[str, ...] = (), timeout: float = 120, **variables: str) -> Answer:
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


def run_tiny(data_root: Path, results: Path, *arguments: str, **keywords: object) -> Answer:
    """A run of the tiny protocol on the CPU."""
    places = ("--data-root", str(data_root), "--results", str(results), "--device", "cpu")
    return call("--protocol", str(TINY), *places, *arguments, **keywords)  # type: ignore[arg-type]


def record_files(results: Path) -> list[Path]:
    """Records and predictions: what must repeat byte for byte."""
    found = (results / "records").rglob("seed*")
    return sorted(path for path in found if path.suffix in (".json", ".npz") and not path.name.endswith(".cost.json"))


def hashes(results: Path) -> dict[str, str]:
    files = [*record_files(results), *results.glob("tiny.md")]
    return {path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(markdown: str, label: str) -> list[list[str]]:
    """Cells of all table rows that start with the label."""
    lines = [line.strip("|").split("|") for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in cells] for cells in lines if cells[0].strip() == label]


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


# Answers at once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_import_no_torch(option: str) -> None:
    answer = call(option, python=("-X", "importtime"))
    assert answer.status == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in answer.lines if line.startswith("import time:")}
    assert "benchmarks.cli.main" in imported, "else this test sees nothing"
    heavy = {"torch", "torchvision", "avalanche", "pandas", "scipy", "sklearn"}
    assert not {name.partition(".")[0] for name in imported} & heavy


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_start_at_once(option: str) -> None:
    answer = call(option)
    assert answer.status == 0
    assert answer.err == ""
    assert answer.user_seconds < 2


def test_help_names_every_option_of_the_design() -> None:
    text = call("--help").out
    options = "protocol methods study seeds recipe split set device workers data-root results report-only plan list"
    for option in options.split():
        assert f"--{option}" in text


def test_list_names_protocols_and_methods() -> None:
    text = call("--list").out
    for protocol in (ROOT / "protocols").glob("*.yaml"):
        assert f"  {protocol.stem} " in text
    for study in (ROOT / "protocols" / "studies").glob("*.yaml"):
        assert f"  {study.stem} " in text
    listed = {"base_only": "default", "lecnet": "paper, code, frozen, baseline, ne, nc, oracle", "proto": "raw_mean, norm_mean"}
    for name, presets in listed.items():
        assert f"  {name} " in text
        assert f"presets {presets}\n" in text + "\n"


# Bad usage: status 2, one line, nothing done ----------------------------------------------------------------------------

BAD = {
    "protocol": (["--protocol", "cub20"], "Did you mean 'cub200'"),
    "protocol file": (["--protocol", "no/such/file.yaml"], "no/such/file.yaml"),
    "method": (["--methods", "lecnt"], "Did you mean 'lecnet'"),
    "preset": (["--methods", "lecnet:papr"], "Did you mean 'paper'"),
    "seeds backwards": (["--seeds", "3-1"], "3-1 runs backwards"),
    "seeds in words": (["--seeds", "ten"], "0-9 or 0,2,5-7"),
    "recipe": (["--protocol", "omniglot", "--recipe", "quik"], "Did you mean 'quick'"),
    "split": (["--split", "canonical-ordr"], "Did you mean 'canonical-order'"),
    "split of another protocol": (["--split", "lec"], "paper, canonical-order"),
    "set without value": (["--set", "lecnet.gamma"], "METHOD.FIELD=VALUE"),
    "set of a method": (["--set", "lecnt.gamma=0.6"], "Did you mean 'lecnet"),
    "no workers": (["--workers", "0"], "at least 1"),
    "no threads": (["--threads", "0"], "at least 1"),
    "study": (["--study", "gama"], "Did you mean 'gamma'"),
    "study file": (["--study", "no/such/study.yaml"], "no/such/study.yaml"),
    "study and methods": (["--study", "gamma", "--methods", "lecnet"], "leave --methods and --set out"),
    "study and set": (["--study", "gamma", "--set", "lecnet.gamma=1"], "leave --methods and --set out"),
    "no study to report": (["--study", "gamma", "--report-only"], "no runs of study gamma yet"),
    "nothing to report": (["--report-only"], "no records yet"),
    "report of one split": (["--report-only", "--split", "lec", "--methods", "x"], "leave --methods and --split out"),
    "verify one study": (["--verify", "--study", "gamma"], "leave --study out"),
    "list of one recipe": (["--list", "--recipe", "quick"], "leave --recipe out"),
    # these import torch
    "set of a field": (["--methods", "lecnet", "--set", "lecnet.gama=0.6"], "Did you mean 'gamma'"),
    "device": (["--methods", "base_only", "--device", "gpu"], "--device gpu"),
}


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_bad_usage(arguments: list[str], named: str, tmp_path: Path) -> None:
    answer = call(*arguments, "--data-root", str(tmp_path / "data"), "--results", str(tmp_path / "results"))
    assert answer.status == 2, answer.err
    assert len(answer.lines) == 1, answer.err
    assert named in answer.err
    assert answer.out == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("arguments", [["--protcol", "cub200"], ["--workers", "two"], ["--plan", "--list"], ["cub200"]])
def test_options_that_are_not_there(arguments: list[str]) -> None:
    answer = call(*arguments)
    assert answer.status == 2
    assert "Traceback" not in answer.err
    assert answer.lines[-1].startswith("run_all.py: error: ")


def test_missing_data_says_what_to_put_where(tmp_path: Path) -> None:
    data, results = tmp_path / "data", tmp_path / "results"
    answer = call("--protocol", "miniimagenet", "--data-root", str(data), "--results", str(results), "--device", "cpu")
    assert answer.status == 2
    assert len(answer.lines) == 1, answer.err
    assert str(data / "miniimagenet") in answer.err
    assert "train.csv" in answer.err
    assert "redistribute" in answer.err
    assert [path for path in results.rglob("*") if path.is_file()] == [], "nothing is trained or written"


# A sweep ----------------------------------------------------------------------------------------------------------------


def test_a_sweep_writes_records_and_table(finished: Path) -> None:
    assert len([path for path in record_files(finished) if path.suffix == ".json"]) == 6
    assert len([path for path in record_files(finished) if path.suffix == ".npz"]) == 6
    text = (finished / "tiny.md").read_text(encoding="utf-8")
    for label in ("BaseOnly", "Proto (raw_mean)", "Ft-CNN (topic)"):
        accuracy = rows(text, label)[0]
        assert accuracy[1] == "2"
        assert all("±" in cell for cell in accuracy[2:])
    assert "## Runs that failed" not in text
    assert not list(finished.rglob("*.tmp"))


def test_the_same_command_again_does_nothing(finished: Path, data_root: Path) -> None:
    before, times = hashes(finished), {path: path.stat().st_mtime_ns for path in record_files(finished)}
    answer = run_tiny(data_root, finished, "--methods", METHODS, "--seeds", "0-1", "--workers", "2")
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == "0 runs done, 6 were there already, 0 failed"
    assert hashes(finished) == before
    assert {path: path.stat().st_mtime_ns for path in record_files(finished)} == times


def test_one_worker_gives_the_same_bytes_as_two(finished: Path, tmp_path: Path, data_root: Path) -> None:
    alone = tmp_path / "alone"
    answer = run_tiny(data_root, alone, "--methods", METHODS, "--seeds", "0-1", "--workers", "1")
    assert answer.status == 0
    assert len(hashes(alone)) == 13
    assert hashes(alone) == hashes(finished)


def test_report_only_gives_the_same_table_and_needs_the_records_alone(finished: Path, copy: Path, tmp_path: Path) -> None:
    expected = (finished / "tiny.md").read_bytes()
    for path in copy.rglob("*"):
        if path.is_file() and (path.suffix != ".json" or path.name.endswith(".cost.json")):
            path.unlink()
    answer = call("--protocol", str(TINY), "--results", str(copy), "--data-root", str(tmp_path / "none"), "--report-only")
    assert answer.status == 0
    assert (copy / "tiny.md").read_bytes() == expected
    assert answer.out.splitlines() == [str(copy / "tiny.md"), str(copy / "tiny.matrix.md")], "no costs, no table of costs"
    assert not (tmp_path / "none").exists()


def test_plan_trains_nothing(tmp_path: Path, data_root: Path) -> None:
    results = tmp_path / "results"
    answer = run_tiny(data_root, results, "--methods", METHODS, "--seeds", "0-1", "--plan", "--workers", "1")
    assert answer.status == 0
    assert "6 runs, 0 done, 6 to do" in answer.out
    assert "ft_cnn:topic seed 1" in answer.out
    assert not results.exists()


def test_plan_knows_what_is_done_and_what_it_cost(finished: Path, data_root: Path) -> None:
    before = hashes(finished)
    answer = run_tiny(data_root, finished, "--methods", METHODS, "--seeds", "0-2", "--plan", "--workers", "1")
    assert answer.status == 0
    assert "9 runs, 6 done, 3 to do" in answer.out
    assert "proto:raw_mean seed 2" in answer.out
    assert "proto:raw_mean seed 1" not in answer.out
    assert "estimate: " in answer.out
    assert hashes(finished) == before


def test_plan_of_what_is_all_done_does_not_call_it_new(finished: Path, data_root: Path) -> None:
    answer = run_tiny(data_root, finished, "--methods", METHODS, "--seeds", "0-1", "--plan", "--workers", "1")
    assert answer.status == 0
    assert "6 runs, 6 done, 0 to do" in answer.out
    assert "none of these has been run here before" not in answer.out


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


def test_a_users_study_shares_bases_and_runs_with_the_table(copy: Path, tmp_path: Path, data_root: Path) -> None:
    """Without code: BaseOnly's records are there, but nobody has looked at its drift; they come out as they were."""
    study, before = tmp_path / "rates.yaml", {path: path.read_bytes() for path in record_files(copy)}
    study.write_text(STUDY)
    bases = {path: path.stat().st_mtime_ns for path in (copy / ".base").glob("*.safetensors")}
    asked = ("--study", str(study), "--seeds", "0-1", "--workers", "1")
    assert "6 runs, 0 done, 6 to do" in run_tiny(data_root, copy, *asked, "--plan").out
    answer = run_tiny(data_root, copy, *asked)
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
    assert run_tiny(data_root, copy, *asked).out.splitlines()[-1] == "0 runs done, 6 were there already, 0 failed"
    assert run_tiny(data_root, copy, "--study", str(study), "--report-only").status == 0
    assert {path: path.read_bytes() for path in files} == files


# Failures ---------------------------------------------------------------------------------------------------------------


def test_a_run_that_fails_is_named_and_the_others_finish(copy: Path, data_root: Path) -> None:
    """An absurd rate gives scores that are no numbers. Seed 1 of BaseOnly is there already, seed 2 is not."""
    before = hashes(copy)
    answer = run_tiny(data_root, copy, "--methods", "ft_cnn,base_only", "--seeds", "1-2", "--set", "ft_cnn.lr=1e6", "--workers", "1")
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == "1 runs done, 1 were there already, 2 failed"
    assert "Traceback" not in answer.err
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    failed = text[text.index("## Runs that failed") :]
    for seed in (1, 2):
        assert f"ft_cnn:topic[lr=1000000.0] seed {seed} (fast.paper): " in failed
    assert "NaN" in failed or "nan" in failed
    assert rows(text, "Ft-CNN (topic, lr=1000000.0)") == []
    assert rows(text, "BaseOnly")[0][1] == "3"
    assert rows(text, "Ft-CNN (topic)")[0][1] == "2 of 3", "the sound variant stays as it was"
    after = hashes(copy)
    assert {name: after[name] for name in before if name != "tiny.md"} == {name: before[name] for name in before if name != "tiny.md"}


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

KILLER = '''"""Killer: takes its process along, and counts how often."""
import os
import signal
from pathlib import Path

from methods.base_only import BaseOnly


class Killer(BaseOnly):
    title = "Killer"

    def after_session(self) -> None:
        if self.session == 1:
            with Path(os.environ["DEATHS"]).open("a") as deaths:
                deaths.write("one\\n")
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the suite with two files more in methods/: all that a new method takes."""
    suite = tmp_path_factory.mktemp("suite")
    for folder in ("benchmarks", "methods", "protocols"):
        shutil.copytree(ROOT / folder, suite / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_all.py", suite)
    (suite / "methods" / "flaky.py").write_text(FLAKY)
    (suite / "methods" / "killer.py").write_text(KILLER)
    return suite


def test_a_failure_is_forgotten_when_the_run_succeeds(extended: Path, copy: Path, tmp_path: Path, data_root: Path) -> None:
    mended = tmp_path / "mended"
    command = ("--methods", "flaky,base_only", "--seeds", "0-1", "--workers", "1")
    before = hashes(copy)
    answer = run_tiny(data_root, copy, *command, suite=extended, MENDED=str(mended))
    assert answer.status == 1
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    assert "- flaky:default seed 0 (fast.paper): RuntimeError: not mended\n" in text
    assert rows(text, "Flaky") == []

    mended.touch()
    answer = run_tiny(data_root, copy, *command, suite=extended, MENDED=str(mended))
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == "2 runs done, 2 were there already, 0 failed"
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    assert "## Runs that failed" not in text
    assert not list(copy.rglob("*.failed.json"))
    assert rows(text, "Flaky")[0][1:] == rows(text, "BaseOnly")[0][1:], "it does what BaseOnly does"
    after = hashes(copy)
    assert {name: after[name] for name in before if name != "tiny.md"} == {name: before[name] for name in before if name != "tiny.md"}


def test_a_worker_that_dies_is_replaced_and_its_run_not_tried_again(extended: Path, copy: Path, tmp_path: Path, data_root: Path) -> None:
    """Out of memory, say: the sweep must end, and the other runs with it. Seeds 2 and 3 of BaseOnly are still to do."""
    deaths = tmp_path / "deaths"
    command = ("--methods", "killer,base_only", "--seeds", "2-3", "--workers", "2")
    answer = run_tiny(data_root, copy, *command, suite=extended, timeout=90, DEATHS=str(deaths))
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == "2 runs done, 0 were there already, 2 failed"
    assert deaths.read_text().count("one") == 2, "once a run"
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    for seed in (2, 3):
        assert answer.err.count(f"killer:default seed {seed}: FAILED") == 1
        assert f"killer:default seed {seed} (fast.paper): its process died" in text
    assert rows(text, "BaseOnly")[0][1] == "4"
