"""What stands in results/ must outlive every change of the code: all records are read, and every page comes out the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.records.reading import read_record
from benchmarks.report import write_report, write_study
from protocols import load_protocol
from protocols.study import load_study

RESULTS = Path(__file__).resolve().parent.parent / "results"
RECORDS = sorted(path for path in RESULTS.glob("**/records/*/*/*/seed*.json") if path.name.count(".") == 1)
PROTOCOLS = ("cifar100", "cub200", "digits", "miniimagenet", "omniglot", "seqmnist")
STUDIES = sorted(path.stem for path in RESULTS.glob("*.study-*.md"))


def test_every_committed_record_is_read() -> None:
    assert len(RECORDS) >= 1673
    for path in RECORDS:
        record = read_record(path)
        assert [session["correct"] for session in json.loads(path.read_bytes())["sessions"]] == [list(s.correct) for s in record.sessions]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A results folder with the same records and no page."""
    (tmp_path / "records").symlink_to(RESULTS / "records", target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocols_pages_come_out_the_same(name: str, copied: Path) -> None:
    for study in STUDIES:  # today the page of a protocol asks which studies' pages are there
        (copied / f"{study}.md").touch()
    for page in write_report(load_protocol(name), copied):
        assert page.read_text() == (RESULTS / page.name).read_text(), page.name


@pytest.mark.parametrize("name", STUDIES)
def test_a_studys_page_comes_out_the_same(name: str, copied: Path) -> None:
    protocol, _, study = name.partition(".study-")
    page = write_study(load_protocol(protocol), load_study(study), copied)[0]
    assert page.read_text() == (RESULTS / page.name).read_text(), page.name
