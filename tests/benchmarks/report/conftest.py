"""Two methods and BaseOnly of a protocol made up by hand, beside rows that papers print of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.stated import stated_version
from benchmarks.records.store import Store
from benchmarks.report import write, write_report
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.benchmarks.reading import unbroken

ACCURACY = "### Accuracy after each session"
LAST = "### After the last session"
FIXED = {"scale": 16.0, "scale_learns": False, "margins": False}
COSINE: dict[str, Any] = {"base": "cosine", "base_config": FIXED, "base_defaults": ["margins"], "config": {}}
ASKED = {**COSINE, "asked_base": "cosine"}

Save = Callable[..., None]

# Right answers of ten images a class: sessions 0 (two base classes), 1 and 2 (one class each); one entry a seed.
BASE_ONLY = [((8, 8), (8, 8, 0), (8, 8, 0, 0)), ((8, 9), (8, 9, 0), (8, 9, 0, 0)), ((9, 9), (9, 9, 0), (9, 9, 0, 0))]
FT_CNN = [((8, 8), (5, 5, 8), (1, 2, 3, 8)), ((8, 9), (4, 5, 9), (2, 2, 2, 10))]
LECNET = [((8, 8), (7, 7, 4), (6, 6, 3, 1)), ((8, 9), (8, 7, 4), (7, 6, 3, 2)), ((9, 9), (8, 8, 4), (7, 7, 4, 2))]
GATES: list[tuple[dict[str, float], ...]] = [
    ({}, {"gate_mean": 0.50, "tau": 0.5}, {"gate_mean": 0.55, "tau": 0.25}),
    ({}, {"gate_mean": 0.52, "tau": 0.4}, {"gate_mean": 0.57, "tau": 0.35}),
    ({}, {"gate_mean": 0.54, "tau": 0.3}, {"gate_mean": 0.62, "tau": 0.45}),
]


def published(method: str, accuracy: Sequence[float | None]) -> PublishedRow:
    facts = {"source": "Paper, Table 1", "backbone": "conv2", "split": "canonical", "seeds": "10", "selection": "test", "note": "made up"}
    return PublishedRow.model_validate({"method": method, "label": method.upper(), "accuracy": tuple(accuracy), **facts})


@pytest.fixture
def published_rows(monkeypatch: pytest.MonkeyPatch) -> list[PublishedRow]:
    """What papers print; a test may add to it. The third figure of Ft-CNN was not printed."""
    rows = [published("ft_cnn", (83.0, 58.5, None)), published("lecnet", (84.5, 60.0, 50.25)), published("icarl", (1.0, 2.0, 3.0))]
    monkeypatch.setattr(write, "printed_beside", lambda own: tuple(rows))
    return rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def save(results: Path, make_record: MakeRecord, costs: Costs) -> Save:
    """Save one record a seed, 0 upwards."""

    def save_all(variant: str, counts: Sequence[Any], logs: Sequence[Any] | None = None, first_seed: int = 0, **changes: Any) -> None:
        for number, correct in enumerate(counts):
            kwargs = {"logs": logs[number]} if logs else {}
            Store(results).save(make_record(variant, first_seed + number, correct, **kwargs, **changes), costs, b"")

    return save_all


@pytest.fixture
def story(results: Path, save: Save, make_identity: MakeIdentity) -> Path:
    """Two methods and BaseOnly, three seeds; one run failed, one record damaged, one variant from the command line."""
    version = stated_version("lecnet")
    save("lecnet:paper", LECNET, GATES, parameters_added=1000, version=version)
    save("lecnet:paper", LECNET, overrides={"gamma": 0.6}, config={"gamma": 0.6}, parameters_added=1000, version=version)
    save("ft_cnn:topic", FT_CNN)
    save("base_only:default", BASE_ONLY)
    store = Store(results)
    damaged = make_identity("lecnet:paper", 2, overrides={"gamma": 0.6}, config={"gamma": 0.6}, version=version)
    store.path(damaged, ".json").write_bytes(b"")
    store.save_failure(make_identity("ft_cnn:topic", 2), Failure("ScoreError: session 1: scores are NaN", "Traceback"))
    return results


def text_of(protocol: Protocol, results: Path) -> str:
    """The page, each paragraph and each bullet in one line."""
    return unbroken(write_report(protocol, results)[0].read_text(encoding="utf-8"))
