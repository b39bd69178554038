"""A task and its runs, of which nothing is done, and what a user sees of a sweep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.planning.ledger import Ledger
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.sweeping.progress import Event, Kind, Progress
from benchmarks.sweeping.worker import Task
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeIdentity

VARIANTS = ("base_only:default", "lecnet:paper")


@pytest.fixture
def task(hand: Protocol, tmp_path: Path) -> Task:
    return Task(hand, Settings(tmp_path, tmp_path, "cpu", 1), Ledger(Store(tmp_path)), 0.0, "this sweep")


@pytest.fixture
def runs(make_identity: MakeIdentity) -> list[Identity]:
    return [make_identity(variant, seed) for seed in range(3) for variant in VARIANTS]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FOUR = ("lecnet:paper",) * 4


def started(
    variants: Sequence[str] = FOUR, workers: int = 1, terminal: bool = False, several_recipes: bool = False
) -> tuple[Progress, io.StringIO]:
    out = Terminal() if terminal else io.StringIO()
    shown = Progress(out)
    shown.start(variants, 2, workers, None, several_recipes)
    return shown, out


def told(
    kind: Kind, variant: str, seed: int, text: str = "", seconds: float = 0.0, more: tuple[str, ...] = (), recipe: str = "quick"
) -> Event:
    """What a worker reports of the run of this variant, seed and recipe."""
    return Event(kind, variant, seed, text, seconds, f"{recipe}/{variant}/{seed}", recipe, more)
