"""The suite as a user meets it: `python run_all.py ...`, in a process of its own where that matters.

A start costs ten seconds, because torch and Avalanche are imported, so one finished sweep serves most tests, and most questions to
the command line are asked in this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.cli.listing import listing
from benchmarks.cli.main import main
from tests.benchmarks.reading import unbroken

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.yaml"
METHODS = "base_only,proto,ft_cnn"


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


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """here(*arguments): the command line in this process; its workers, where it has several runs to do, have processes of their own."""
    monkeypatch.delenv("FSCIL_DATA", raising=False)

    def here(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as stop:  # argparse's way out
            status = int(stop.code or 0)
        return Answer(status, *capsys.readouterr())

    return here


def of_tiny(data_root: Path, results: Path) -> tuple[str, ...]:
    """Options of every run of the tiny protocol, on the CPU."""
    return "--protocol", str(TINY), "--data-root", str(data_root), "--results", str(results), "--device", "cpu"


def run_tiny(data_root: Path, results: Path, *arguments: str, **keywords: object) -> Answer:
    """In a process of its own."""
    return call(*of_tiny(data_root, results), *arguments, **keywords)  # type: ignore[arg-type]


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


def test_help_names_every_option_of_the_design(here: Here) -> None:
    text = here("--help").out
    options = "protocol methods study seeds recipe split set device workers data-root results report-only plan list"
    for option in options.split():
        assert f"--{option}" in text


def test_list_names_protocols_and_methods(here: Here) -> None:
    text = listing(400)
    assert here("--list").out.split()[0] == text.split()[0]
    for protocol in (ROOT / "protocols").glob("*.yaml"):
        assert f"  {protocol.stem} " in text
    for study in (ROOT / "protocols" / "studies").glob("*.yaml"):
        assert f"  {study.stem} " in text
    listed = {"base_only": "default", "lecnet": "paper, code, frozen, baseline, ne, nc, oracle", "proto": "raw_mean, norm_mean"}
    for name, presets in listed.items():
        assert re.search(rf"^  {name} +{presets} ", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100])
def test_the_list_is_no_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, listing(width).splitlines())) <= width


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
    "no study to report": (["--study", "gamma", "--report-only", "--protocol", "digits"], "no runs of study gamma yet"),
    "study of no protocol to report": (["--study", "gamma", "--report-only"], "the protocol must be named"),
    "nothing to report": (["--report-only", "--protocol", "digits"], "no records yet"),
    "nothing at all to report": (["--report-only"], "no records"),
    "nothing to verify": (["--verify"], "no records to verify"),
    "report of one split": (["--report-only", "--split", "lec", "--methods", "x"], "leave --methods and --split out"),
    "verify one study": (["--verify", "--study", "gamma"], "leave --study out"),
    "list of one recipe": (["--list", "--recipe", "quick"], "leave --recipe out"),
    "set of a field": (["--methods", "lecnet", "--set", "lecnet.gama=0.6"], "Did you mean 'gamma'"),
    "device": (["--methods", "base_only", "--device", "gpu"], "--device gpu"),
}


def refused(answer: Answer, named: str, folder: Path) -> None:
    assert answer.status == 2, answer.err
    assert len(answer.lines) == 1, answer.err
    assert named in answer.err
    assert answer.out == ""
    assert [path for path in folder.rglob("*") if path.is_file()] == [], "nothing is trained or written"


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_bad_usage(arguments: list[str], named: str, here: Here, tmp_path: Path) -> None:
    refused(here(*arguments, "--data-root", str(tmp_path / "data"), "--results", str(tmp_path / "results")), named, tmp_path)


@pytest.mark.parametrize("what", ["protocol", "device"])
def test_bad_usage_in_a_process_of_its_own(what: str, tmp_path: Path) -> None:
    arguments, named = BAD[what]
    refused(call(*arguments, "--data-root", str(tmp_path / "data"), "--results", str(tmp_path / "results")), named, tmp_path)


@pytest.mark.parametrize("arguments", [["--protcol", "cub200"], ["--workers", "two"], ["--plan", "--list"], ["cub200"]])
def test_options_that_are_not_there(arguments: list[str], here: Here) -> None:
    answer = here(*arguments)
    assert answer.status == 2
    assert answer.lines[-1].startswith("run_all.py: error: ")


def test_missing_data_says_what_to_put_where(here: Here, tmp_path: Path) -> None:
    data, results = tmp_path / "data", tmp_path / "results"
    answer = here("--protocol", "miniimagenet", "--data-root", str(data), "--results", str(results), "--device", "cpu")
    refused(answer, str(data / "miniimagenet"), results)
    assert "train.csv" in answer.err
    assert "redistribute" in answer.err


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
    assert answer.out.splitlines() == [str(copy / name) for name in ("tiny.md", "tiny.matrix.md", "index.html")], (
        "no costs, no table of costs"
    )
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
    command = ("--methods", "killer,ft_cnn,base_only", "--seeds", "2", "--set", "ft_cnn.lr=1e6", "--workers", "2")
    answer = run_tiny(data_root, copy, *command, suite=extended)
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == "1 runs done, 0 were there already, 2 failed"
    assert "Traceback" not in answer.err
    assert answer.err.count("one death") == 1
    assert answer.err.count("killer:default seed 2: FAILED") == 1
    text = (copy / "tiny.md").read_text(encoding="utf-8")
    failed = text[text.index("## Runs that failed") :]
    assert "killer:default seed 2 (fast.paper): its process died" in failed
    assert "ft_cnn:topic[lr=1000000.0] seed 2 (fast.paper): " in failed
    assert "NaN" in failed or "nan" in failed
    assert rows(text, "Ft-CNN (topic, lr=1000000.0)") == []
    assert rows(text, "BaseOnly")[0][1] == "3"
    assert rows(text, "Ft-CNN (topic)")[0][1] == "2 of 3", "the sound variant stays as it was"
    after = hashes(copy)
    assert {name: after[name] for name in before if name != "tiny.md"} == {name: before[name] for name in before if name != "tiny.md"}
