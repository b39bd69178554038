"""`--merge`: what is taken over from another folder, and what is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli import main as cli
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import seal, to_json
from benchmarks.records.store import Store
from benchmarks.records.traces import has_traces, trace_bytes
from benchmarks.running.runner import Runner
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.merge import merge
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord
from tests.conftest import TINY
from tests.methods.runs import identity_of
from tests.trust.harness import files


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
    assert lines[0].endswith(f"REFUSED {one}: changed after it was written")
    assert f"REFUSED {two}: the predictions beside it are not those of this run; remove seed01.npz" in lines[1], "in which folder"
    assert [path.name for path in sorted(here.results.rglob("seed0?.json"))] == [three.name]
    assert [path.name for path in here.results.rglob("*.lock")] == ["seed02.lock"], "what is refused leaves nothing here"
    assert text.endswith("1 records taken over, 0 were here already, 2 refused; --report-only writes the tables anew")


def test_another_result_of_a_run_replaces_none(other: Path, here: Settings, hand: Protocol, make_record: MakeRecord, costs: Costs) -> None:
    mine = make_record(seed=0, correct=((1, 1), (1, 1, 1), (1, 1, 1, 1)))
    Store(here.results).save(mine, costs, b"")
    before = files(here.results)
    text, refused = merge(other, hand, here)
    assert refused == 1
    theirs, ours = (next(folder.rglob("seed00.json")) for folder in (other, here.results))
    assert f"REFUSED {theirs}: its run has another result here, {ours}; remove one of the two" in text
    assert {name: content for name, content in files(here.results).items() if name in before} == before


def test_a_record_of_a_later_release_is_left_alone(other: Path, here: Settings, hand: Protocol) -> None:
    merge(other, hand, here)
    mine = next(here.results.rglob("seed00.json"))
    mine.write_text(mine.read_text().replace('"schema_version": 3', '"schema_version": 9'))
    assert '"schema_version": 9' in (before := mine.read_text())
    text, refused = merge(other, hand, here)
    assert refused == 1 and "holds a record of a later release, which is left alone" in text
    assert mine.read_text() == before


def test_what_a_record_here_lacks_comes_along(
    tiny: Protocol, runner: Runner, with_run: Callable[[Identity], Store], settings: Settings, here: Settings
) -> None:
    """A study's traces, and predictions, which are not kept in a repository."""
    identity = runner.complete(identity_of(tiny, "ft_cnn:topic"))
    with_run(identity)
    shutil.copytree(settings.results, here.results)
    next(here.results.rglob("seed00.npz")).unlink()
    record = Store(settings.results).find(identity)
    assert record is not None
    trace = record.path.parent / "drift" / record.path.name
    trace.parent.mkdir()
    trace.write_bytes(trace_bytes("drift", {}, record))
    text, refused = merge(settings.results, tiny, here)
    assert (refused, text.split("; --report-only")[0]) == (
        0,
        "0 records taken over, 1 were here already, 0 refused; 2 files beside records that were here added",
    )
    assert files(here.results) == files(settings.results)
    next(here.results.rglob("seed00.npz")).write_bytes(b"torn")
    next(here.results.rglob("seed00.cost.json")).unlink()
    assert "2 files beside records" in merge(settings.results, tiny, here)[0]
    assert files(here.results) == files(settings.results)
    trace.write_text("{}")
    shutil.rmtree(next(here.results.rglob("drift")))
    assert merge(settings.results, tiny, here)[1] == 1, "what does not belong to the record is refused"
    assert not list(here.results.rglob("drift"))


def test_nothing_of_another_record_stays_beside_a_new_one(other: Path, here: Settings, hand: Protocol) -> None:
    merge(other, hand, here)
    mine = next(here.results.rglob("seed00.json"))
    mine.unlink()
    left = (mine.with_suffix(".npz"), mine.parent / "drift" / mine.name)
    left[1].parent.mkdir()
    for path in left:
        path.write_bytes(b"of another run")
    assert merge(other, hand, here)[1] == 0
    assert mine.exists() and not any(path.exists() for path in left)


def test_a_results_folder_within_the_other_is_not_merged_into_itself(other: Path, hand: Protocol, here: Settings) -> None:
    inner = replace(here, results=other / "inner")
    shutil.copytree(other / "records", inner.results / "records")
    assert merge(other, hand, inner) == ("0 records taken over, 3 were here already, 0 refused", 0)
    assert not (inner.results / "inner").exists()
    outer = replace(here, results=other.parent / "outer")
    shutil.copytree(other / "records", outer.results / "part" / "records")
    assert merge(outer.results / "part", hand, outer)[0].startswith("3 records taken over"), "from within, it is"


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


@pytest.mark.parametrize("name", ["seed00.cost.json", "seed07.failed.json", "drift/seed00.json"])
def test_a_pipe_is_no_file_of_a_run(name: str, other: Path, here: Settings, hand: Protocol) -> None:
    """Reading one would wait for ever."""
    folder = next(other.rglob("seed00.json")).parent
    (folder / "drift").mkdir()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    records, faults, failures = Store(other).load(hand.name)
    assert (len(records), faults) == (3, [])
    assert [costs_of(record) is None for record in records] == [name == "seed00.cost.json", False, False]
    assert [failed.error for failed in failures] == ["failed; the note that says why is damaged"] * name.endswith("failed.json")
    assert not has_traces(records[0], ["drift"])


def test_options_that_a_mode_does_not_use_are_refused(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--executor", "slurm"], ["--slurm", "time=60"], ["--workers", "2"]):
        for mode in (["--verify"], ["--merge", str(other)]):
            assert cli.main([*mode, *options, "--results", str(other)]) == 2
            assert f"{mode[0]} runs nothing; leave {options[0]} out" in capsys.readouterr().err
