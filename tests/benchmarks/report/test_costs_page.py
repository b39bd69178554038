"""The costs of a table: means over the runs of one processor."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.schema import Record
from benchmarks.report.costs import by_processor, cost_table
from tests.benchmarks.reading import tables

Pair = tuple[Record, Costs]


@pytest.fixture
def pairs(make_record: Callable[..., Record]) -> list[Pair]:
    """Three runs of a processor, of which one trained the base, and two of a card."""

    def pair(seed: int, device: str, seconds: float, base: float = 0.0) -> Pair:
        record = make_record("lecnet:paper", seed)
        record = record.model_copy(update={"environment": {**record.environment, "device": device}})
        return record, Costs(
            base_seconds=base,
            session_seconds=(0, seconds, 2),
            evaluation_seconds=(0.5, seconds),
            peak_memory_mib=100 * seed,
            commit="c" * 40,
        )

    return [pair(0, "card", 1), pair(1, "card", 2), pair(2, "CPU", 20, base=90), pair(3, "CPU", 30), pair(4, "CPU", 70)]


def test_seconds_of_two_processors_are_no_mean(pairs: list[Pair]) -> None:
    first, second = by_processor(pairs)
    assert (first.processor, first.seeds, first.base, first.trained) == ("CPU", 3, 90, 1)
    assert (first.training, first.testing, first.memory) == (42, 40.5, 400), "22, 32 and 72; 20.5, 30.5 and 70.5; the highest"
    assert (second.processor, second.seeds, second.base, second.training) == ("card", 2, None, 3.5)


def test_a_row_names_its_processor(pairs: list[Pair]) -> None:
    (table,) = tables(cost_table({"lecnet:paper": pairs}))
    assert [(row["Processor"], row["Seeds"], row["Base (s)"], row["Sessions, training (s)"]) for row in table] == [
        ("CPU", "3", "90.0 (n=1)", "42.0"),
        ("card", "2", "–", "3.5"),
    ]
