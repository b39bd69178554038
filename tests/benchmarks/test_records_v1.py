"""Records of schema 1, as the first releases wrote them: they load for ever. Files under tests/data/records_v1 are never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.metrics.accuracy import micro
from benchmarks.records.reading import read_record, to_json
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from tests.conftest import ROOT

OLD = ROOT / "tests" / "data" / "records_v1"
FILES = sorted(OLD.rglob("seed*.json"))
LAST = {"cifar100": "38.16", "digits": "66.11", "omniglot": "49.30", "seqmnist": "84.66"}


def name(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_loads_and_nothing_is_lost(path: Path) -> None:
    record = read_record(path)
    assert record.schema_version == 1
    assert all(session.numbers_kept is None for session in record.sessions)
    assert to_json(record.model_dump(mode="json", exclude_unset=True)) == path.read_bytes()


@pytest.mark.parametrize("protocol", LAST)
def test_stands_in_the_store_with_its_figures(protocol: str) -> None:
    records, faults, failures = Store(OLD).load(protocol)
    assert (faults, failures) == ([], [])
    assert len(records) == sum(protocol in path.parts for path in FILES)
    assert f"{micro(records[-1].sessions[-1].correct, records[-1].sessions[-1].total):.2f}" == LAST[protocol]


def test_schema_1_promises_no_more_than_it_had(tmp_path: Path) -> None:
    content = json.loads(FILES[0].read_bytes())
    content["sessions"][0]["numbers_kept"] = 0
    path = tmp_path / "seed00.json"
    path.write_bytes(to_json(content))
    with pytest.raises(RecordError, match="numbers_kept belongs to records of schema 2"):
        read_record(path)
