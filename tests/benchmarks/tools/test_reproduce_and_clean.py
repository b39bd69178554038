"""Runs done again beside their records, and what `clean` removes and leaves."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from benchmarks.cli.main import main
from benchmarks.planning import preflight
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.costs import Costs
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.tools.reproduce import agreement, run_of_record
from methods.proto import Proto
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeRecord
from tests.conftest import TINY


@pytest.fixture
def asked(tmp_path: Path, data_root: Path) -> list[str]:
    """Options of one run of the tiny protocol, which is done."""
    places = ["--results", str(tmp_path / "results"), "--data-root", str(data_root)]
    line = ["--protocol", str(TINY), "--methods", "proto", "--seeds", "0", *places, "--device", "cpu"]
    assert main(line) == 0
    return line


def test_the_same_code_gives_the_same_bytes(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*asked, "--reproduce", "3"]) == 0
    assert capsys.readouterr().out.startswith("proto:raw_mean seed 0 (fast.paper): equal bytes\n")
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()} == before


def test_a_record_is_reproduced_under_its_own_recipe(tiny: Protocol, make_record: MakeRecord) -> None:
    """Another recipe of the command, with the same variant and seed, gave other counts."""
    protocol = tiny.model_copy(update={"recipes": {**tiny.recipes, "mine": tiny.recipes["fast"].model_copy(update={"epochs": 1})}})
    runs = [run for recipe in protocol.recipes for run in identities(make_request(protocol, recipe, None, "0-1", "proto", []))]
    for run in runs:
        computed = run.model_copy(update={"images": "c" * 64, "precision": "fp32"})
        record = make_record().model_copy(update={"identity": computed})
        assert run_of_record(record, runs) == computed


def test_an_archive_that_cannot_be_written_is_reproduced(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written there; `--reproduce` used to try whether it could be."""
    honest = preflight.tempfile.TemporaryFile

    def refused(*args: Any, **options: Any) -> Any:
        if Path(options["dir"]).is_relative_to(tmp_path / "results"):
            raise OSError(errno.EROFS, "Read-only file system", f"{options['dir']}/tmp123")
        return honest(*args, **options)

    monkeypatch.setattr(preflight.tempfile, "TemporaryFile", refused)
    assert main([*asked, "--reproduce", "1"]) == 0


def test_other_code_is_found_out(asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    honest = Proto.scores

    def worse(self: Proto, features: Tensor) -> Tensor:
        return -honest(self, features)

    monkeypatch.setattr(Proto, "scores", worse)
    capsys.readouterr()
    assert main([*asked, "--reproduce", "1"]) == 1
    said = capsys.readouterr().out
    assert "other counts: last accuracy" in said and "outside the range of its 1 seeds" in said
    assert "other nothing that the record knows of" in said


def test_the_traceback_of_a_run_that_fails_is_there_to_be_read(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Proto, features: Tensor) -> Tensor:
        raise RuntimeError("not today")

    (elsewhere := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    assert main([*asked, "--reproduce", "1"]) == 0 and not any(elsewhere.iterdir())
    monkeypatch.setattr(Proto, "scores", broken)
    capsys.readouterr()
    assert main([*asked, "--reproduce", "1"]) == 1
    told = capsys.readouterr()
    assert "proto:raw_mean seed 0 (fast.paper): failed" in told.out
    named = Path((told.out + told.err).split("traceback: ")[1].split("\n")[0])
    assert "RuntimeError: not today" in named.read_text()


def test_nothing_done_is_nothing_to_reproduce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--protocol", str(TINY), "--methods", "proto", "--results", str(tmp_path), "--reproduce", "1"]) == 2
    assert "none of these 2 runs is done, so there is nothing to reproduce" in capsys.readouterr().err


def test_what_agrees_in_words(make_record: MakeRecord) -> None:
    """17 of 40 right, 42.5 %, then 18, 20 and 21: the range of three seeds ends at 50 %."""
    last = [(6, 6, 3, 2), (6, 6, 4, 2), (6, 6, 5, 3)]
    row = [make_record("proto:raw_mean", seed, ((8, 8), (7, 7, 4), correct)) for seed, correct in enumerate(last)]
    elsewhere = {"environment": {**row[0].environment, "device": "other"}}

    def said(again: Record) -> tuple[str, bool]:
        return agreement(row[0], again.model_copy(update=elsewhere), row)

    assert agreement(row[0], row[0], row) == ("equal bytes", True)
    inside = make_record("proto:raw_mean", 0, ((8, 8), (7, 7, 4), (6, 6, 4, 2)))
    text = "other counts: last accuracy {}, recorded 42.50, {} the range of its 3 seeds, 42.50 to 50.00; other device"
    assert said(inside) == (text.format("45.00", "inside"), True)
    for number, first in ((52.5, 9), (32.5, 1)):  # above the range, and below it
        beyond = make_record("proto:raw_mean", 0, ((8, 8), (7, 7, 4), (first, 6, 4, 2)))
        assert said(beyond) == (text.format(f"{number:.2f}", "outside"), False)


def test_clean_lists_and_removes_what_is_named(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    places = ["--results", str(results), "--data-root", str(tmp_path / "none")]
    (elsewhere := tmp_path / "disk" / "cifar100").mkdir(parents=True)
    (elsewhere / "images.json").touch()
    (tmp_path / "none").mkdir()
    (cache := tmp_path / "none" / ".cache").symlink_to(elsewhere.parent)
    (results / ".base" / "taken").mkdir()
    (results / ".base" / "held.lock").touch()
    (results / "records" / "tiny" / "seed01.failed.json").write_text("{}")
    assert main(["clean", *places]) == 2
    assert "say what, with --caches, --failures, --records" in capsys.readouterr().err
    before = sorted(results.rglob("*"))
    assert main(["clean", "--caches", "--failures", "--records", "--dry-run", *places]) == 0
    assert sorted(results.rglob("*")) == before
    assert "would remove" in capsys.readouterr().out
    assert main(["clean", "--caches", "--failures", *places]) == 0
    assert "failures: 1 removed" in capsys.readouterr().out
    assert cache.is_symlink() and not any(cache.iterdir())
    left = {path.name for path in (results / ".base").iterdir()}
    assert "taken" in left and all(name == "taken" or name.endswith(".lock") for name in left)
    assert len(list((results / "records").rglob("seed00.json"))) == 1


def test_clean_removes_records_that_no_protocol_describes(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    """Of the protocol `digits`: those with another rate than its file has now. Those of a protocol that is not the suite's stay."""
    committed = Path(__file__).resolve().parents[3] / "results" / "records" / "digits" / "paper.paper"
    [kept] = [path for path in committed.glob("proto-raw_mean*/seed00.json") if "@" not in path.parent.name]
    store = Store(tmp_path)
    place = store.root / "digits" / "paper.paper" / kept.parent.name / "seed00.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(kept.read_bytes())
    [now] = store.load("digits")[0]
    changed = now.identity.recipe_settings.model_copy(update={"lr": 0.3})
    old = now.model_copy(update={"identity": now.identity.model_copy(update={"recipe_settings": changed}), "schema_version": 3})
    store.save(old, costs, b"")
    store.save(make_record("lecnet:paper", 3), costs, b"")
    own = make_record("lecnet:paper", 3)  # of a user's file that has the name of the suite's
    store.save(own.model_copy(update={"identity": own.identity.model_copy(update={"protocol": "digits"})}), costs, b"")
    lock = store.path(old.identity, ".lock")
    for probe in ("drift", "tsne"):
        (trace := lock.parent / probe / "seed00.json").parent.mkdir()
        trace.write_text("{}")
    assert main(["clean", "--records", "--results", str(tmp_path)]) == 0
    found = (path for path in tmp_path.rglob("seed*.json") if path.name.count(".") == 1)
    left = sorted(json.loads(path.read_bytes())["identity"]["protocol"] for path in found)
    assert left == ["digits", "digits", "hand"]
    assert place.exists()
    assert not lock.parent.exists(), "with the traces of its probes, and without an empty folder"
    store.save(old, costs, b"")
    lock.touch()
    assert main(["clean", "--records", "--results", str(tmp_path)]) == 0
    assert list(lock.parent.iterdir()) == [lock], "a sweep may hold it"
