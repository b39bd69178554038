"""Records whose page is results/index.html, and that page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.predictions import pack_predictions
from benchmarks.records.store import Store
from benchmarks.report import blocks, html
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.report.conftest import BASE_ONLY, FT_CNN

HOSTILE = '<script>alert(1)</script> & "quoted" </script><img src=x onerror=alert(2)>'
# As BASE_ONLY and FT_CNN are written, with other figures.
LECNET = [((8, 8), (7, 7, 4), (9, 8, 7, 6)), ((8, 9), (8, 7, 4), (9, 9, 6, 6)), ((9, 9), (8, 8, 4), (9, 9, 8, 7))]


@pytest.fixture
def save(tmp_path: Path, make_record: MakeRecord, costs: Costs) -> Callable[..., None]:
    """Saves one record a seed, 0 upwards, into tmp_path/results."""

    def save_all(variant: str, counts: Sequence[Any], title: str = "", **changes: Any) -> None:
        for seed, correct in enumerate(counts):
            record = make_record(variant, seed, correct, **changes)
            Store(tmp_path / "results").save(record.model_copy(update={"title": title or record.title}), costs, b"")

    return save_all


@pytest.fixture
def story(tmp_path: Path, save: Callable[..., None], make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three methods, a variant, other settings; a hostile title; one run with its predictions; one failure."""
    facts = {"source": "Paper <b>", "backbone": "conv2", "split": "canonical", "seeds": "10", "selection": "test"}
    row = PublishedRow.model_validate({"method": "ft_cnn", "label": "Ft", "accuracy": (83.0, 58.5, 35.0), "tolerance": 3.0, **facts})
    monkeypatch.setattr(blocks, "printed_beside", lambda own, group="": (row,))
    save("lecnet:paper", LECNET)
    save("ft_cnn:topic", FT_CNN, HOSTILE)
    save("base_only:default", BASE_ONLY)
    save("proto:raw_mean", BASE_ONLY, split="canonical-order")
    save("lecnet:paper", LECNET, recipe_settings={"epochs": 2, "lr": 0.2})
    packed = pack_predictions([np.array([0, 1], np.int16), np.array([0, 0, 2, 0], np.int16)], np.array([0, 1, 2, 3], np.int16))
    kept = make_record("proto:norm_mean", 0, LECNET[0]).model_copy(update={"predictions_sha256": hashlib.sha256(packed).hexdigest()})
    Store(tmp_path / "results").save(kept, costs, packed)
    failed = make_record("base_only:default", 3).identity
    Store(tmp_path / "results").save_failure(failed, Failure("ValueError: <i>", "Traceback"))
    return tmp_path / "results"


def page_of(results: Path, hand: Protocol) -> str:
    path = html.write_index(results, [hand])
    assert path == results / "index.html"
    return path.read_text(encoding="utf-8")
