"""What `--only card` does around its measurements, with a stand-in for the card."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.system.settings import Settings
from benchmarks.tools.card_check import Outcome
from benchmarks.tools.timing import card, phases
from benchmarks.tools.timing.__main__ import main
from protocols import load_protocol
from protocols.schema import Protocol
from tests.recording import StandIn

CPU = torch.device("cpu")
ONE, THREE = card.Case("one", 1, "fp32"), card.Case("three", 3, "fp32")


def test_a_processor_is_no_card(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "card", "--device", "cpu", "--no-compile", "--data-root", str(data_root), "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(card.NONE)


@pytest.mark.parametrize("case", [ONE, THREE, replace(ONE, recorded=False)], ids=["one", "three", "step by step"])
def test_the_suites_own_training_is_what_is_timed(case: card.Case, tiny: Protocol) -> None:
    """Two recordings, of whole and last batches; the first epoch does not count."""
    recorder = StandIn()
    assert card.suite_rate(case, tiny, CPU, recorder, count=70) > 0
    steps = card.EPOCHS * 2
    assert (recorder.recorded, recorder.replayed) == ((2, steps - 1) if case.recorded else (0, 0))


def test_the_bare_loop_replays_one_step_of_all_seeds(tiny: Protocol) -> None:
    recorder = StandIn()
    assert card.bare_rate(replace(THREE, bare=True), tiny, CPU, recorder, seconds=0.01) > 0
    assert recorder.recorded == 1


def test_what_finds_no_time_is_left_empty(tiny: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: dict[str, Callable[..., float]] = {"suite_rate": lambda *of: 1234.0, "bare_rate": lambda *of: 5678.0}
    for name, rate in rates.items():
        monkeypatch.setattr(card, name, rate)
    cases = [row for row in card.ROWS if row.compiled]
    found = card.measured(cases, tiny, CPU, StandIn(), time.monotonic() + 60)
    assert list(found.values()) == [5678.0, 1234.0, 1234.0]
    assert card.measured(cases, tiny, CPU, StandIn(), time.monotonic() - 1) == {}
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.table_of(found, ["bf16", "fp32"]).splitlines()]
    assert lines[2] == ["bare loop, compiled, recorded, ten seeds", "5,678", "–"]
    assert [line[1] for line in lines[5:]] == ["–"] * 3


def test_matrix_rate_counts_two_operations_a_number() -> None:
    assert 0 < card.matrix_rate(CPU, side=64, times=2) < 100


def test_a_shortened_protocol_differs_in_its_base_sessions_only(tmp_path: Path) -> None:
    whole = load_protocol("cifar100")
    short = load_protocol(str(phases.shortened(whole, "paper", tmp_path)))
    recipe = whole.recipes["paper"].model_copy(update={"epochs": phases.SHORT, "milestones": ()})
    assert short == whole.model_copy(update={"recipes": {**whole.recipes, "paper": recipe}})


def test_a_table_is_scaled_phase_by_phase() -> None:
    """97 epochs of ten times 30,000 images at 100,000 a second are 291 s; sessions of two seeds stand for those of ten."""
    outcomes = [Outcome("base", "done", 60.0), Outcome("others", "done", 30.0), Outcome("pages", "done", 5.0)]

    def last(outcomes: list[Outcome], rate: float | None = 100_000.0) -> list[str]:
        table = phases.table_of(outcomes, load_protocol("cifar100"), "paper", 10, rate)
        return [line.strip("|").split("|")[-1].strip() for line in table.splitlines()[2:]]

    assert last(outcomes) == ["351", "150", "5"]
    assert last(outcomes, None) == ["–", "150", "5"]
    assert last([replace(outcomes[0], ended="stopped"), *outcomes[1:]])[0] == "–"


def test_a_table_without_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "cifar100").mkdir()
    said = phases.table_by_phases(load_protocol("cifar100"), "paper", Settings(tmp_path, tmp_path, "cpu", 1), 10, None, 1.0)
    assert said.startswith("The wall time of a table was not measured: cifar100")
