"""`--merge`: what is taken over from another folder, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli import main as cli
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.running.runner import Runner
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.merge import merge
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import identity_of
from tests.trust.harness import files

MakeRecord = Callable[..., Record]


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, results=tmp_path / "here")


@pytest.fixture
def other(settings: Settings, make_record: MakeRecord, costs: Costs) -> Path:
    """A folder with three records of the protocol `hand`, which is no file of the suite."""
    for seed in range(3):
        Store(settings.results).save(make_record(seed=seed), costs, b"")
    for path in settings.results.rglob("*.npz"):
        path.unlink()
    return settings.results


def test_records_come_with_all_that_is_theirs(
    tiny: Protocol, runner: Runner, with_run: Callable[[Identity], Store], settings: Settings, here: Settings
) -> None:
    """They verify here, are the same bytes, and are not taken over twice. The note of a failure goes, since the run is done now."""
    identity = runner.complete(identity_of(tiny, "ft_cnn:topic"))
    there = with_run(identity)
    Store(here.results).save_failure(identity, Failure("out of memory", "Traceback"))
    line = ["--merge", str(settings.results), "--results", str(here.results), "--data-root", str(settings.data_root)]
    assert cli.main([*line, "--protocol", str(TINY)]) == 0
    assert files(here.results) == files(settings.results)
    assert Store(here.results).find(identity) is not None
    assert merge(settings.results, tiny, here) == ("0 records taken over, 1 were here already, 0 refused", 0)
    assert there.find(identity) is not None, "what is taken over stays there"


def test_a_record_that_does_not_hold_is_refused_by_name(other: Path, here: Settings, hand: Protocol) -> None:
    one, two, three = sorted(other.rglob("seed0?.json"))
    one.write_text(one.read_text().replace('"parameters_added": 0', '"parameters_added": 1'))
    two.with_suffix(".npz").write_bytes(b"not its predictions")
    text, refused = merge(other, hand, here)
    assert refused == 2
    lines = [line for line in text.splitlines() if "REFUSED" in line]
    assert "seed00.json: changed after it was written" in lines[0]
    assert "seed01.json: the predictions beside it are not those of this run" in lines[1]
    assert [path.name for path in sorted(here.results.rglob("seed0?.json"))] == [three.name]
    assert [path.name for path in here.results.rglob("*.lock")] == ["seed02.lock"], "what is refused leaves nothing here"
    assert text.endswith("1 records taken over, 0 were here already, 2 refused; --report-only writes the tables anew")


def test_another_result_of_a_run_replaces_none(other: Path, here: Settings, hand: Protocol, make_record: MakeRecord, costs: Costs) -> None:
    mine = make_record(seed=0, correct=((1, 1), (1, 1, 1), (1, 1, 1, 1)))
    Store(here.results).save(mine, costs, b"")
    before = files(here.results)
    text, refused = merge(other, hand, here)
    assert refused == 1
    assert "seed00.json: its run has another result here" in text
    assert {name: content for name, content in files(here.results).items() if name in before} == before


def test_a_forged_split_is_refused_where_the_images_are(
    tiny: Protocol, runner: Runner, with_run: Callable[[Identity], Store], settings: Settings, here: Settings
) -> None:
    identity = runner.complete(identity_of(tiny, "ft_cnn:topic"))
    path = with_run(identity).path(identity, ".json")
    content = json.loads(path.read_bytes())
    del content["seal"]
    content["rows_sha256"] = "0" * 64
    path.write_bytes(to_json({**content, "seal": seal(content)}))
    text, refused = merge(settings.results, tiny, here)
    assert refused == 1
    assert "its class order or its images are not those of its seed" in text


def test_a_folder_without_records_is_named(tmp_path: Path, here: Settings, other: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "no records in it"), (here.results, "no such folder")):
        with pytest.raises(UsageError, match=said):
            merge(folder, None, here)
    shutil.copytree(other, here.results)
    with pytest.raises(UsageError, match="is the results folder itself"):
        merge(here.results, None, here)
