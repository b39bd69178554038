"""Records are believed only as they were written: whatever is done to one, it is named and left out, and its run is done again."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli import main as cli
from benchmarks.records import reading
from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record
from benchmarks.records.store import Store
from benchmarks.running.runner import Runner
from benchmarks.system.errors import RecordError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.conftest import ROOT, TINY
from tests.methods.runs import identity_of
from tests.trust.harness import places

Damage = Callable[[Path, bytes], object]


@pytest.fixture
def identity(tiny: Protocol, runner: Runner) -> Identity:
    """On the images that are here."""
    return runner.complete(identity_of(tiny, "proto:raw_mean"))


@pytest.fixture
def store(identity: Identity, with_run: Callable[[Identity], Store]) -> Store:
    """A results folder with the whole record of seed 0."""
    return with_run(identity)


def test_every_character_counts(store: Store, identity: Identity, tmp_path: Path) -> None:
    """Each byte of a record, changed to another of its kind (a digit to a digit), is found."""
    whole = store.path(identity, ".json").read_bytes()
    draw, path = random.Random(0), tmp_path / "seed00.json"
    tried = 0
    for place, byte in enumerate(whole):
        kind = next((k for k in (b"0123456789", b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ") if byte in k), None)
        if kind is None:
            continue
        other = draw.choice([letter for letter in kind if letter != byte])
        path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
        reading._read_record.cache_clear()
        with pytest.raises(RecordError, match=r"seed00\.json"):
            read_record(path)
        tried += 1
    assert tried > 1000


def test_every_beginning_is_refused(store: Store, identity: Identity, tmp_path: Path) -> None:
    """Truncated anywhere but at the last line's end."""
    whole, path = store.path(identity, ".json").read_bytes(), tmp_path / "seed00.json"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RecordError):
            read_record(path)


def copy_of_another_protocol(path: Path, whole: bytes) -> None:
    """A record as old as the suite, of another protocol."""
    old = ROOT / "tests" / "data" / "records_v1" / "records" / "digits" / "paper.paper" / "lecnet-paper" / "seed00.json"
    path.write_bytes(old.read_bytes())


def another_seeds(path: Path, whole: bytes) -> None:
    path.with_name("seed01.json").write_bytes(whole)
    path.unlink()


def as_a_folder(path: Path, whole: bytes) -> None:
    path.unlink()
    path.mkdir()


def as_a_link_to_nowhere(path: Path, whole: bytes) -> None:
    path.unlink()
    path.symlink_to("nowhere.json")


DAMAGE: dict[str, Damage] = {
    "truncated": lambda path, whole: path.write_bytes(whole[:500]),
    "empty": lambda path, whole: path.write_bytes(b""),
    "edited by hand": lambda path, whole: path.write_bytes(whole.replace(b'"correct": [', b'"correct": [1', 1)),
    "NaN": lambda path, whole: path.write_bytes(whole.replace(b'"images_kept": 0', b'"images_kept": NaN', 1)),
    "without a seal, as if of schema 1": lambda path, whole: path.write_bytes(
        whole.replace(b'"schema_version": 3', b'"schema_version": 1')
    ),
    "of another protocol": copy_of_another_protocol,
    "under another seed's name": another_seeds,
    "a folder": as_a_folder,
    "a link": as_a_link_to_nowhere,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_bad_record_is_left_out_and_its_run_done_again(
    damage: Damage, store: Store, identity: Identity, tiny: Protocol, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the real command line: the table names it; the same command mends it, with the bytes that it had."""
    path = store.path(identity, ".json")
    whole = path.read_bytes()
    damage(path, whole)
    assert store.find(identity) is None
    line = places(settings.results, settings.data_root)
    if not path.is_symlink():
        assert cli.main([*line, "--report-only"]) == 0
        table = (settings.results / "tiny.md").read_text()
        assert "## Records that cannot be used, and are in no mean" in table
        assert f"fast.paper/{path.parent.name}/seed0" in table
        assert "| Proto" not in table
    status = cli.main([*line, "--methods", "proto", "--seeds", "0"])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if path.is_dir():
        assert status == 2, "a folder is no file of ours: it is named, not removed"
        assert str(path) in said.err.splitlines()[-1]
        return
    assert status == 0
    assert path.read_bytes() == whole


def test_costs_that_cannot_be_read_are_missed_in_the_table_of_costs_alone(store: Store, identity: Identity, settings: Settings) -> None:
    store.path(identity, ".cost.json").write_bytes(b'{"base_seconds": NaN}')
    assert costs_of(read_record(store.path(identity, ".json"))) is None
    assert cli.main(["--protocol", str(TINY), "--results", str(settings.results), "--report-only"]) == 0
    assert "No file beside a record says" in (settings.results / "tiny.costs.md").read_text()
    assert "| Proto" in (settings.results / "tiny.md").read_text()
