"""What stands in results/ must outlive every change of the code: all records are read, and every page comes out the same."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.records.edited import edited
from benchmarks.records.reading import read_record
from benchmarks.records.store import stores_below
from benchmarks.report import write_report, write_study
from protocols import load_protocol
from protocols.pseudo import find_protocol
from protocols.study import load_study

RESULTS = Path(__file__).resolve().parent.parent / "results"
RECORDS = sorted(path for path in RESULTS.glob("**/records/*/*/*/seed*.json") if path.name.count(".") == 1)
STORES = {store.root.parent.relative_to(RESULTS): store for store in stores_below(RESULTS)}
PAGES = [(folder, name) for folder, store in STORES.items() for name in store.protocols()]
UNTRIED = [(Path(), name) for name in ("cub200", "miniimagenet")]
STUDIES = sorted(path.stem for path in RESULTS.glob("*.study-*.md"))
QUICK = ("digits.study-components", "cifar100.study-drift")
"""Studies whose pages are written in every run of the tests; the others, with their figures, by `make test-all`."""


def test_every_committed_record_is_read() -> None:
    assert len(RECORDS) >= 1673
    for path in RECORDS:
        record = read_record(path)
        assert [session["correct"] for session in json.loads(path.read_bytes())["sessions"]] == [list(s.correct) for s in record.sessions]


def test_no_record_is_left_out_of_the_tables() -> None:
    loaded = 0
    for folder, name in PAGES:
        records, faults, failures = STORES[folder].load(name)
        assert (faults, failures) == ([], [])
        loaded += len(records)
    assert loaded == len(RECORDS)


def test_no_committed_record_counts_as_edited() -> None:
    """Whoever changes code of methods/ proves that it computes the same bytes, and lists it (docs/CODE.md), or raises a version."""
    found = [record for folder, name in PAGES for record in edited(STORES[folder].load(name)[0])]
    assert sorted({f"{record.path.parent.relative_to(RESULTS)}" for record in found}) == []


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """links(folder): what git keeps of a results folder's records, linked once: predictions of runs that were done here stay behind."""

    @cache
    def links(folder: Path) -> Path:
        place = tmp_path_factory.mktemp("results")
        for path in (RESULTS / folder / "records").rglob("*.json"):
            link = place / path.relative_to(RESULTS / folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        return place

    return links


@pytest.fixture
def copied(links: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """copied(folder): that folder's records, and beside them a page of a study of which digits has two variants of five. Which rows a page
    shows follows from the records alone."""

    def copied(folder: Path) -> Path:
        place = links(folder)
        for path in place.iterdir():
            if path.name != "records":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (place / "digits.study-trained.md").touch()
        return place

    return copied


@pytest.mark.parametrize(("folder", "name"), [*PAGES, *UNTRIED], ids=lambda part: str(part))
def test_a_protocols_pages_come_out_the_same(folder: Path, name: str, copied: Callable[[Path], Path]) -> None:
    for page in write_report(find_protocol(name), copied(folder)):
        assert page.read_text() == (RESULTS / folder / page.name).read_text(), page.name


@pytest.mark.parametrize("name", STUDIES)
def test_a_studys_page_comes_out_the_same(name: str, copied: Callable[[Path], Path], request: pytest.FixtureRequest) -> None:
    if name not in QUICK and not request.config.getoption("--all-presets"):
        pytest.skip("written by make test-all")
    protocol, _, study = name.partition(".study-")
    page = write_study(load_protocol(protocol), load_study(study), copied(Path()))[0]
    assert page.read_text() == (RESULTS / page.name).read_text(), page.name


def test_links_of_pages_lead_somewhere() -> None:
    for page in RESULTS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.relative_to(RESULTS)}: {link}"


def test_pages_have_no_very_long_lines() -> None:
    for page in RESULTS.rglob("*.md"):
        assert max(map(len, page.read_text().splitlines())) < 400, page
