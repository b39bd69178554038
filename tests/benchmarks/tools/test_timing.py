"""The timing command: contenders in turn, ratios round by round, and one real table. What is fast is not asserted here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.base import cache
from benchmarks.data.images import ImageSet
from benchmarks.system.settings import Settings
from benchmarks.tools.extract import main as extract
from benchmarks.tools.timing import sections
from benchmarks.tools.timing.__main__ import main
from benchmarks.tools.timing.ours import base_training
from benchmarks.tools.timing.paired import Rates, interleave
from protocols import load_protocol


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def work(name: str) -> int:
        calls.append(name)
        return 1

    rates = interleave({"a": lambda: work("a"), "b": lambda: work("b")}, 2, torch.device("cpu"))
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(values) for name, values in rates.by_name.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_within_a_round() -> None:
    """The machine slows down from round to round: the ratio of the medians would be 3."""
    rates = Rates({"ours": [200.0, 90.0, 30.0], "theirs": [100.0, 30.0, 20.0]})
    assert rates.ratio("ours", "theirs") == "2.00 (1.50 to 3.00)"
    assert rates.median("ours") == 90.0


def test_a_session_against_stock_avalanche(data_root: Path, tmp_path: Path) -> None:
    bench = sections.Bench(Settings(data_root, tmp_path, "cpu", 1), rounds=1)
    lines = sections.incremental_session(bench, "two convolutions, digits").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == ["Avalanche Naive", "our Ft-CNN"]
    assert all(int(row[1].replace(",", "")) > 0 for row in rows)


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--threads", "0"], ["--threads", "5000"]])
def test_numbers_that_no_machine_bears_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert f"timing: {arguments[0]} must be at least 1" in capsys.readouterr().err
    if arguments[0] == "--threads":
        assert extract(["--protocol", "cub200-resnet18b", "--novel-seen", "possible", "--out", "nowhere", *arguments]) == 2
        assert "extract: --threads must be at least 1" in capsys.readouterr().err


def test_an_option_that_settings_refuse_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "foo"]) == 2
    assert capsys.readouterr().err.startswith("timing: --device foo")


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cifar100").mkdir()  # a folder that holds no images: nothing is downloaded
    assert main(["--only", "base", "--no-compile", "--data-root", str(tmp_path), "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("timing: cifar100")


def test_what_is_timed_resumes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an epoch takes: a resumed training would be timed for what it did not do."""
    monkeypatch.setattr(cache, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    protocol, rng = load_protocol("digits"), np.random.default_rng(0)
    pixels, classes = rng.integers(0, 256, (60, 1, 8, 8), np.uint8), np.arange(60) % 6
    images = ImageSet(tuple("abcdef"), pixels, pixels, pixels, classes, classes, None, "")
    work = base_training(protocol, protocol.recipes["paper"], images, "fp32", torch.device("cpu"), False)
    assert work() == work() == 60
    assert not list(tmp_path.iterdir())
