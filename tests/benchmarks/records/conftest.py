"""A store, and one record in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from tests.benchmarks.conftest import MakeRecord


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def save(store: Store, record: Record, costs: Costs, predictions: bytes = b"") -> Record:
    """The record as it is read back: it knows where it lies."""
    store.save(record, costs, predictions)
    return record.read_from(store.path(record.identity, ".json"))


@pytest.fixture
def saved(store: Store, make_record: MakeRecord, costs: Costs) -> Record:
    """One record in the store, with a gate log."""
    record = make_record("lecnet:paper", 3, logs=({}, {"tau": 0.5}, {"tau": 0.25}), images_kept=7, parameters_added=64)
    return save(store, record, costs, b"predictions")
