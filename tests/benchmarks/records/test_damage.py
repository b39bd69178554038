"""A damaged record is named and never believed, however often a file is read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.benchmarks.records.conftest import save

Content = dict[str, Any]


def edited(change: Callable[[Content], Any]) -> Callable[[bytes], bytes]:
    """With a seal that fits, so that what is refused is the content."""

    def damage(whole: bytes) -> bytes:
        content = json.loads(whole)
        del content["seal"]
        change(content)
        try:
            content["seal"] = seal(content)
        except ValueError:  # NaN
            content["seal"] = "0" * 64
            return json.dumps(content).encode()
        return to_json(content)

    return damage


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "last byte but one gone": lambda whole: whole.rstrip()[:-1],
    "empty": lambda whole: b"",
    "not text": lambda whole: b"\xff\xfe" + whole,
    "zeros after a crash": lambda whole: bytes(len(whole)),
    "two records in one": lambda whole: whole + whole,
    "a list": lambda whole: b"[" + whole + b"]",
    "a number": lambda whole: b"1",
    "null": lambda whole: b"null",
    "nested without end": lambda whole: b"[" * 200_000,
    "more right answers than images": edited(lambda c: c["sessions"][1]["correct"].__setitem__(0, 11)),
    "fewer than none right": edited(lambda c: c["sessions"][1]["correct"].__setitem__(0, -1)),
    "a class without images": edited(
        lambda c: (c["sessions"][1]["total"].__setitem__(0, 0), c["sessions"][1]["correct"].__setitem__(0, 0))
    ),
    "half a right answer": edited(lambda c: c["sessions"][1]["correct"].__setitem__(0, 1.5)),
    "a session missing": edited(lambda c: c["sessions"].pop()),
    "a session too many": edited(lambda c: c["sessions"].append(c["sessions"][-1])),
    "a class too many": edited(lambda c: (c["sessions"][0]["correct"].append(1), c["sessions"][0]["total"].append(1))),
    "counts of two lengths": edited(lambda c: c["sessions"][0]["correct"].pop()),
    "NaN in the log": edited(lambda c: c["sessions"][2]["log"].__setitem__("tau", float("nan"))),
    "infinity in the log": edited(lambda c: c["sessions"][2]["log"].__setitem__("tau", float("inf"))),
    "NaN as a count": edited(lambda c: c["sessions"][2]["correct"].__setitem__(0, float("nan"))),
    "schema of the future": edited(lambda c: c.__setitem__("schema_version", 999)),
    "schema as true": edited(lambda c: c.__setitem__("schema_version", True)),
    "schema as text": edited(lambda c: c.__setitem__("schema_version", "1")),
    "no schema": edited(lambda c: c.pop("schema_version")),
    "no count of numbers kept": edited(lambda c: c["sessions"][1].__setitem__("numbers_kept", None)),
    "images left open": edited(lambda c: c["identity"].__setitem__("images", None)),
    "another precision than the environment's": edited(lambda c: c["identity"].__setitem__("precision", "bf16")),
    "no data set": edited(lambda c: c["identity"]["data"].pop("mean")),
    "a key of schema 2": edited(lambda c: c.__setitem__("images_sha256", "c" * 64)),
    "schema 2 without its keys": edited(lambda c: c.__setitem__("schema_version", 2)),
    "another class order": edited(lambda c: c["order"].reverse()),
    "a class order of other length": edited(lambda c: c["order"].pop()),
    "unknown key": edited(lambda c: c.__setitem__("acuracy", 99.0)),
    "unknown key inside": edited(lambda c: c["identity"].__setitem__("mehtod", "lecnet")),
    "key missing": edited(lambda c: c.pop("identity")),
    "key missing inside": edited(lambda c: c["identity"].pop("seed")),
    "seed as text": edited(lambda c: c["identity"].__setitem__("seed", "three")),
    "sessions as a mapping": edited(lambda c: c.__setitem__("sessions", {})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_named_and_never_used(
    damage: Callable[[bytes], bytes], store: Store, saved: Record, make_record: MakeRecord, costs: Costs
) -> None:
    other = save(store, make_record("lecnet:paper", 4), costs)
    path = saved.path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecordError, match=re.escape(str(path))) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)
    assert store.find(saved.identity) is None
    kept, faults, failures = store.load("hand")
    assert (kept, failures) == ([other], [])
    assert len(faults) == 1
    assert path.relative_to(store.root).as_posix() in faults[0]
    assert str(store.root) not in faults[0], "a report must not depend on where the results lie"
    assert "\n" not in faults[0]


def test_an_unknown_key_is_answered_with_the_nearest(store: Store, saved: Record) -> None:
    path = store.path(saved.identity, ".json")
    path.write_bytes(edited(lambda c: c.__setitem__("sesions", []))(path.read_bytes()))
    with pytest.raises(RecordError, match=r"unknown key 'sesions'\. Did you mean 'sessions'\?"):
        read_record(path)


def test_a_record_of_a_later_release_is_left_alone(store: Store, saved: Record, costs: Costs) -> None:
    """It is no rubbish: whoever wrote it can read it."""
    whole = saved.path.read_bytes()
    saved.path.write_bytes(DAMAGE["schema of the future"](whole))
    later = saved.path.read_bytes()
    with pytest.raises(RecordError, match=r"record schema 999, of a later release \(this one reads up to 3\); it is left alone"):
        read_record(saved.path)
    with pytest.raises(RecordError, match="holds a record of a later release, which is left alone"):
        store.save(saved, costs, b"")
    assert saved.path.read_bytes() == later
    saved.path.write_bytes(whole[:100])
    store.save(saved, costs, b"")
    assert saved.path.read_bytes() == whole, "what is damaged is replaced"


def test_what_is_no_file_is_no_record(store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    path = store.path(identity, ".json")
    with pytest.raises(RecordError, match="no such record"):
        read_record(path)
    path.mkdir(parents=True)
    assert store.find(identity) is None
    kept, faults, _ = store.load("hand")
    assert kept == []
    assert "seed00.json" in faults[0]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every file that is parsed."""
    sizes: list[int] = []
    loads = json.loads

    def spy(content: bytes) -> Any:
        sizes.append(len(content))
        return loads(content)

    monkeypatch.setattr(json, "loads", spy)
    return sizes


@pytest.fixture
def old(saved: Record) -> Path:
    """The file of a record that was written a while ago."""
    os.utime(saved.path, ns=(10**18, 10**18))
    return saved.path


def test_a_file_that_stays_is_parsed_once(
    store: Store, saved: Record, old: Path, parsed: list[int], make_record: MakeRecord, costs: Costs
) -> None:
    """A sweep asks for all records when it begins and when it ends, and the report asks again."""
    others = [save(store, make_record("proto:default", seed), costs) for seed in range(9)]
    for _ in range(3):
        assert read_record(old) == saved
        assert store.find(saved.identity) == saved
        assert store.load("hand") == ([saved, *others], [], [])
        assert Store(old.parents[4]).load("hand") == ([saved, *others], [], [])
    assert len(parsed) == 10


def test_a_record_that_is_replaced_is_read_again(store: Store, saved: Record, old: Path, costs: Costs) -> None:
    """By one of the same size, too."""
    assert read_record(old) == saved
    last = saved.sessions[-1]
    for right in (5, 4):
        sessions = (*saved.sessions[:-1], last.model_copy(update={"correct": (right, *last.correct[1:])}))
        size = old.stat().st_size
        other = save(store, saved.model_copy(update={"sessions": sessions}), costs)
        assert old.stat().st_size == size
        assert read_record(old) == other
        assert store.load("hand") == ([other], [], [])


def test_a_record_put_back_with_its_old_date_is_read_again(old: Path) -> None:
    """As `cp -p` and archives do: another file, though size and date are the same."""
    before = old.stat()
    assert read_record(old).title == "LEC-Net"
    copy = old.with_name("copy")
    copy.write_bytes(edited(lambda c: c.__setitem__("title", "LEC-Nat"))(old.read_bytes()))
    os.utime(copy, ns=(before.st_mtime_ns, before.st_mtime_ns))
    copy.replace(old)
    assert (old.stat().st_size, old.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert read_record(old).title == "LEC-Nat"


def test_a_record_cut_off_under_its_old_date_is_refused(saved: Record, old: Path) -> None:
    """As a copy into the same file does that keeps dates and breaks off."""
    before = old.stat()
    assert read_record(old) == saved
    old.write_bytes(old.read_bytes()[:-20])
    os.utime(old, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with pytest.raises(RecordError, match="not a whole JSON file"):
        read_record(old)


@pytest.mark.parametrize("name", ["truncated", "empty", "nested without end", "half a right answer", "schema of the future"])
def test_a_record_that_is_damaged_later_is_refused(name: str, store: Store, saved: Record, old: Path) -> None:
    """That it was good when it was last read is no reason to believe it; that it was bad, none to refuse it when it is good again."""
    whole = old.read_bytes()
    assert read_record(old) == saved
    old.write_bytes(DAMAGE[name](whole))
    for _ in range(2):
        with pytest.raises(RecordError, match=re.escape(str(old))):
            read_record(old)
    assert store.find(saved.identity) is None
    old.write_bytes(whole)
    assert read_record(old) == saved
    old.unlink()
    assert store.find(saved.identity) is None
    assert store.load("hand") == ([], [], [])
