"""The check for a lent card: it stops by itself, says how far it came, and goes on from there. Rehearsed on the processor."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.tools import card_check
from benchmarks.tools.card_check import Outcome, Phase, main, run_phases
from tests.conftest import ROOT

PYTHON = (sys.executable, "-c")


def test_phases_end_at_the_limit(tmp_path: Path) -> None:
    """With the processes that they started. Pages and checks have time of their own."""
    spawns = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(p.pid)); time.sleep(60)"
    phases = [
        Phase("fails", (*PYTHON, "print('no', flush=True); raise SystemExit(1)")),
        Phase("is long", (*PYTHON, spawns, str(tmp_path / "pid"))),
        Phase("comes too late", (*PYTHON, "print('never')")),
        Phase("pages", (*PYTHON, "print('first'); print('a page')"), last=True),
    ]
    started = time.monotonic()
    outcomes = run_phases(phases, 3.0)
    assert time.monotonic() - started < 10
    assert [(one.ended, one.said) for one in outcomes] == [("failed", "no"), ("stopped", ""), ("left out", ""), ("done", "a page")]
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(int((tmp_path / "pid").read_text()), 0)
            time.sleep(0.1)


def check(data_root: Path, results: Path, *more: str) -> int:
    places = ("--data-root", str(data_root), "--results", str(results), "--device", "cpu", "--workers", "1")
    return main(["--protocol", "digits", "--seeds", "0", "--methods", "base_only,proto", *places, *more])


def test_a_rehearsal_that_has_no_time(data_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The commands are the real ones: the first is stopped while it starts, and pages are written of what there is: nothing."""
    assert check(data_root, tmp_path, "--limit", "2") == 1
    out = capfd.readouterr().out
    rows = {cells[1].strip(): cells[2].strip() for line in out.splitlines() if len(cells := line.split("|")) > 4}
    assert rows["images"] == "done"
    assert rows["base sessions, BaseOnly"] in ("stopped", "left out")
    assert rows["1 other methods"] == "left out"
    assert "0 records finished." in out
    assert (tmp_path / "card_check.md").read_text(encoding="utf-8").strip() in out


def test_commands_get_the_folders_and_a_file_by_its_whole_path(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They start in the suite's folder, and know no methods of another unless it is named."""
    seen: list[Phase] = []

    def kept(phases: Sequence[Phase], limit: float) -> list[Outcome]:
        seen.extend(phases)
        return []

    monkeypatch.setattr(card_check, "run_phases", kept)
    shutil.copy(ROOT / "protocols" / "digits.yaml", tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text((tmp_path / "mine.yaml").read_text().replace("name: digits", "name: mine"))
    (own := tmp_path / "own").mkdir()
    (own / "lazy.py").write_text((ROOT / "methods" / "base_only.py").read_text())
    monkeypatch.chdir(tmp_path)
    assert check(data_root, tmp_path / "r", "--protocol", "mine.yaml", "--bases", "b", "--methods-dir", "own", "--methods", "lazy") == 0
    for phase in seen[:2]:
        options = dict(pairwise(phase.command))
        assert options["--protocol"] == str(tmp_path / "mine.yaml")
        assert (options["--bases"], options["--methods-dir"]) == (str(tmp_path / "b"), str(own))


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "1e9"])
def test_a_limit_that_is_none_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--limit={limit}"]) == 2
    assert "--limit must be" in capsys.readouterr().err


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cifar100").mkdir()
    assert main(["--data-root", str(tmp_path), "--results", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("card_check: cifar100")
    assert len(err.splitlines()) == 1
