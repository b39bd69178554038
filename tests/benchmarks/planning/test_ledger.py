"""Which runs are done, where a method or a kind has been raised to another version since."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.planning.ledger import Ledger
from benchmarks.records.costs import Costs
from benchmarks.records.store import Store
from methods.bases.cosine import Cosine
from methods.proto import Proto
from tests.benchmarks.conftest import MakeRecord


def test_a_record_of_a_migrated_kind_is_found(
    make_record: MakeRecord, costs: Costs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind's version alone was raised: the method's is what it was."""
    of_base = {"base": "cosine", "base_config": {"scale": 16.0}, "base_version": Cosine.version}
    record = make_record("proto:raw_mean", config={}, version=Proto.version, **of_base)
    Store(tmp_path).save(record, costs, b"")
    now = record.identity.model_copy(update={"base_version": Cosine.version + 1})
    monkeypatch.setattr(Cosine, "version", Cosine.version + 1)
    assert not Ledger(Store(tmp_path)).is_done(now)
    monkeypatch.setattr(Cosine, "migrations", {Cosine.version - 1: lambda values: values})
    assert Ledger(Store(tmp_path)).is_done(now)
