"""`--confusion METHOD`: a method's confusion by session of origin, from kept predictions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.predictions import pack_predictions
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from benchmarks.tools.confusion import confusion
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord

TABLE = """Proto (norm_mean), recipe quick, split paper: images after the last session, summed over 2 of 3 seeds, those with predictions

of session  as 0  as 1  as 2  right origin
         0     4     0     0       100.0 %
         1     0     1     1        50.0 %
         2     2     0     0         0.0 %"""


def test_counts_by_session_summed_over_seeds(hand: Protocol, make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    store, labels = Store(tmp_path), np.array([0, 1, 2, 3], np.int16)
    for seed, third in ((0, 2), (1, 3)):  # two base classes, then two sessions of one class
        packed = pack_predictions([np.array([0, 1], np.int16), np.array([1, 0, third, 0], np.int16)], labels)
        record = make_record("proto:norm_mean", seed).model_copy(update={"predictions_sha256": hashlib.sha256(packed).hexdigest()})
        store.save(record, costs, packed)
    store.save(make_record("proto:norm_mean", 2), costs, b"others")
    store.save(make_record("base_only:default", 0), costs, b"others")
    assert confusion(hand, "proto", tmp_path) == confusion(hand, "proto:norm_mean", tmp_path) == TABLE
    with pytest.raises(RecordError, match=r"no predictions of base_only are kept .*; run it again with --force"):
        confusion(hand, "base_only", tmp_path)
    with pytest.raises(RecordError, match=r"no method with records named 'protto'\. Did you mean 'proto'\?"):
        confusion(hand, "protto", tmp_path)
    with pytest.raises(RecordError, match="hand: no records"):
        confusion(hand, "proto", tmp_path / "empty")
