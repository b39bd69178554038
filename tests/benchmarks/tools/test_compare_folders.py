"""`--compare A B`: two results folders run by run and method by method, on records made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import main
from benchmarks.records.costs import Costs
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from benchmarks.tools.compare import compare, within

Save = Callable[..., None]
# Right answers of ten images a class: sessions 0 (two base classes), 1 and 2 (one class each); one entry a seed.
RUNS = [((8, 8), (7, 7, 4), (6, 6, 3, 1)), ((8, 9), (8, 7, 4), (7, 6, 3, 2)), ((9, 9), (8, 8, 4), (7, 7, 4, 2))]
NEAR = [RUNS[0], ((8, 9), (8, 7, 4), (7, 6, 3, 3)), RUNS[2]]
FAR = [((8, 8), (7, 7, 4), (1, 1, 0, 0))] * 3


@pytest.fixture
def save(tmp_path: Path, make_record: Callable[..., Record], costs: Costs) -> Save:
    """save(folder, variant, counts, ...): one record a seed, from `first_seed` upwards."""

    def save_all(folder: str, variant: str, counts: Sequence[Any], first_seed: int = 0, torch: str = "2.11.0", **changes: Any) -> None:
        for seed, correct in enumerate(counts, first_seed):
            record = make_record(variant, seed, correct, **changes)
            environment = {**record.environment, "torch": torch}
            Store(tmp_path / folder).save(record.model_copy(update={"environment": environment}), costs, b"")

    return save_all


def told(tmp_path: Path) -> tuple[list[str], int]:
    text, faults = compare(tmp_path / "a", tmp_path / "b")
    return text.splitlines(), faults


def line_of(lines: Sequence[str], label: str) -> str:
    (line,) = [line for line in lines if line.startswith(f"  {label}: ")]
    return line


def test_every_kind_of_agreement(tmp_path: Path, save: Save) -> None:
    save("a", "lecnet:paper", RUNS)
    save("b", "lecnet:paper", RUNS)
    save("a", "ft_cnn:topic", RUNS)
    save("b", "ft_cnn:topic", RUNS, torch="2.12.0")
    save("a", "proto:raw_mean", RUNS)
    save("b", "proto:raw_mean", NEAR)
    save("a", "base_only:default", RUNS)
    save("b", "base_only:default", FAR)
    lines, faults = told(tmp_path)
    assert faults == 1, "one method differs"
    assert line_of(lines, "LEC-Net (paper)") == "  LEC-Net (paper): equal bytes (3 runs)"
    assert line_of(lines, "Ft-CNN (topic)") == "  Ft-CNN (topic): equal counts (3 runs)"
    assert line_of(lines, "Proto (raw_mean)") == "  Proto (raw_mean): within intervals (2 equal bytes, 1 other counts)"
    assert line_of(lines, "BaseOnly") == "  BaseOnly: differs (3 runs)"
    assert "    seed 1: 45.00 in A, 47.50 in B, apart from session 2 on" in lines
    # 40, 45, 50 against 40, 47.5, 50: sd 5 and 5.20; times 4.302653 / sqrt(3)
    assert "    last accuracy 45.00 ± 12.42 in A, 45.83 ± 12.93 in B; means farthest apart in session 2, A − B -0.83" in lines
    assert "Runs: 12 in both (5 equal bytes, 3 equal counts, 4 other counts), 0 only in A, 0 only in B." in lines
    assert "Methods with runs in both: 4 (1 equal bytes, 1 equal counts, 1 within intervals, 1 differs)." in lines


def test_what_only_one_folder_has(tmp_path: Path, save: Save) -> None:
    save("a", "lecnet:paper", RUNS)
    save("b", "lecnet:paper", RUNS[1:], first_seed=1)
    save("a", "ft_cnn:topic", RUNS)
    save("b", "lecnet:paper", RUNS[:1], recipe="slow")
    save("b", "lecnet:paper", RUNS, overrides={"gamma": 0.6}, config={"gamma": 0.6})
    lines, faults = told(tmp_path)
    assert faults == 0, "what is missing differs from nothing"
    assert line_of(lines, "LEC-Net (paper, gamma=0.6)") == "  LEC-Net (paper, gamma=0.6): only in B: seeds 0-2"
    assert line_of(lines, "Ft-CNN (topic)") == "  Ft-CNN (topic): only in A: seeds 0-2"
    assert "  LEC-Net (paper): equal bytes (2 runs); only in A: seed 0" in lines
    assert lines[lines.index("hand, recipe slow, split paper") + 1] == "  LEC-Net (paper): only in B: seed 0"
    assert "Runs: 2 in both (2 equal bytes), 4 only in A, 4 only in B." in lines


def test_another_setting_is_another_run_and_another_precision_is_said(tmp_path: Path, save: Save) -> None:
    save("a", "lecnet:paper", RUNS)
    save("b", "lecnet:paper", NEAR, precision="bf16")
    save("a", "proto:raw_mean", RUNS)
    save("b", "proto:raw_mean", RUNS, recipe_settings={"epochs": 2, "lr": 0.2})
    lines, _ = told(tmp_path)
    assert "    seed 1: 45.00 in A, 47.50 in B, apart from session 2 on (fp32 and bf16)" in lines
    assert [line for line in lines if line.startswith("  Proto")] == [f"  Proto (raw_mean): only in {side}: seeds 0-2" for side in "AB"]


def test_runs_are_matched_by_precision_where_there_are_two(tmp_path: Path, save: Save) -> None:
    for folder in "ab":
        save(folder, "lecnet:paper", RUNS)
        save(folder, "lecnet:paper", FAR, precision="bf16")
    lines, faults = told(tmp_path)
    assert (line_of(lines, "LEC-Net (paper)"), faults) == ("  LEC-Net (paper): equal bytes (6 runs)", 0)


def test_one_seed_has_no_interval() -> None:
    one = np.array([[80.0, 60.0]])
    assert not within(one, one + 0.1)
    several = np.array([[80.0, 60.0], [82.0, 62.0], [84.0, 64.0]])
    assert within(several, several + 0.1)
    assert not within(several, several + np.array([0.0, 6.0])), "one session is enough"
    assert not within(several, np.array([[82.5, 62.0]] * 3)), "inside the wide interval, but not inside the narrow one"


def test_a_damaged_record_is_a_fault(tmp_path: Path, save: Save, make_record: Callable[..., Record]) -> None:
    save("a", "lecnet:paper", RUNS)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    Store(tmp_path / "b").path(make_record("lecnet:paper", 1).identity, ".json").write_bytes(b"{")
    lines, faults = told(tmp_path)
    assert faults == 1
    assert lines[-1].startswith("B: hand/") and "not a whole JSON file" in lines[-1]


def test_the_command(tmp_path: Path, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    save("a", "lecnet:paper", RUNS)
    (tmp_path / "none").mkdir()
    with pytest.raises(RecordError, match="no records to compare"):
        compare(tmp_path / "a", tmp_path / "none")
    save("b", "ft_cnn:topic", RUNS)
    with pytest.raises(RecordError, match="no run in common"):
        compare(tmp_path / "a", tmp_path / "b")
    save("b", "lecnet:paper", FAR)
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "LEC-Net (paper): differs (3 runs)" in capsys.readouterr().out
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 0
    assert "equal bytes (3 runs)" in capsys.readouterr().out
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "b"), "--seeds", "0"]) == 2
    assert "--compare cannot choose among runs" in capsys.readouterr().err
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "b"), "--protocol", "digits"]) == 2
    assert "no records of digits" in capsys.readouterr().err
