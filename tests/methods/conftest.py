"""Entering methods in the tiny protocol; what a file's tests share is trained once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.records.schema import Record
from benchmarks.running.runner import Contender, Runner, SeedContext
from methods.contract.selection import Measured, weighted
from protocols.schema import Protocol
from tests.methods.runs import Enter, Run, identity_of


@pytest.fixture
def enter(tiny: Protocol, runner: Runner) -> Enter:
    """enter(variant, *overrides): the contender before session 0. An override is `field=value` of the variant's method."""

    def enter(variant: str, *overrides: str) -> Contender:
        return runner.enter(identity_of(tiny, variant, *overrides))

    return enter


@pytest.fixture
def run(tiny: Protocol, runner: Runner) -> Run:
    """run(variant, *overrides): the record of a whole run."""

    def run(variant: str, *overrides: str) -> Record:
        return runner.run(identity_of(tiny, variant, *overrides))[0]

    return run


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, list[list[float]]]], list[int]]:
    """Test images that answer LEC-Net as a test says, one row an epoch (the last for ever); returns the list of sessions asked for."""

    def script(answers: dict[int, list[list[float]]]) -> list[int]:
        asked: list[int] = []

        def oracle(self: SeedContext, strategy: Any) -> Measured:
            assert float(strategy.head.gates[-1].min()) > 0, "the gate must be stored first, or the new branch is off (docs/methods.md 5.1)"
            asked.append(strategy.session)
            rows = answers[strategy.session]
            *old, novel = rows[min(asked.count(strategy.session), len(rows)) - 1]
            return Measured(old[0], weighted(old, strategy.classes_by_session[:-1]), novel)

        monkeypatch.setattr(SeedContext, "oracle", oracle)
        return asked

    return script
