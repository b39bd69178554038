"""Records: whole or not there, and never believed when they are damaged."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import store as records
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun, Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError, StorageError

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]
Content = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def saved(store: Store, make_record: MakeRecord, costs: Costs) -> Record:
    """One record in the store, with a gate log."""
    record = make_record("lecnet:paper", 3, logs=({}, {"tau": 0.5}, {"tau": 0.25}), images_kept=7, parameters_added=64)
    store.save(record, costs, b"predictions")
    return record


def test_round_trip(store: Store, saved: Record, costs: Costs) -> None:
    assert read_record(store.path(saved.identity, ".json")) == saved
    assert store.load("hand") == ([saved], [], [])
    assert store.read_costs(saved.identity) == costs
    assert store.path(saved.identity, ".npz").read_bytes() == b"predictions"
    assert store.is_done(saved.identity)
    assert store.load("another") == ([], [], [])


def test_files_stand_where_the_documentation_says(store: Store, saved: Record) -> None:
    found = sorted(path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file())
    folder = "hand/quick.paper/lecnet-paper"
    assert found == [f"{folder}/seed03.cost.json", f"{folder}/seed03.json", f"{folder}/seed03.npz"]


def test_the_record_is_written_last(store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record is, the run is done: a kill before it must leave the run undone."""
    written: list[str] = []
    whole = records.write_atomic

    def write(path: Path, content: bytes) -> None:
        if path.name == "seed00.json":
            raise KeyboardInterrupt  # killed just before
        written.append(path.name)
        whole(path, content)

    monkeypatch.setattr(records, "write_atomic", write)
    record = make_record()
    with pytest.raises(KeyboardInterrupt):
        store.save(record, costs, b"predictions")
    assert sorted(written) == ["seed00.cost.json", "seed00.npz"]
    assert not store.is_done(record.identity)
    assert store.load("hand") == ([], [], [])


def test_a_write_that_fails_leaves_the_old_record_and_no_rubbish(
    store: Store, saved: Record, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}

    def broken(source: str, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(StorageError, match="disk full"):
        store.save(saved, costs, b"others")
    assert {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()} == before


# Damage: each entry turns a good file's bytes or content into a bad one ---------------------------------------------------


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
    other = make_record("lecnet:paper", 4)
    store.save(other, costs, b"")
    path = store.path(saved.identity, ".json")
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(RecordError, match=re.escape(str(path))) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)
    assert not store.is_done(saved.identity)
    kept, faults, failures = store.load("hand")
    assert kept == [other]
    assert failures == []
    assert len(faults) == 1
    assert "quick.paper/lecnet-paper/seed03.json" in faults[0]
    assert str(store.root) not in faults[0], "a report must not depend on where the results lie"
    assert "\n" not in faults[0]


def test_an_unknown_key_is_answered_with_the_nearest(store: Store, saved: Record) -> None:
    path = store.path(saved.identity, ".json")
    path.write_bytes(edited(lambda c: c.__setitem__("sesions", []))(path.read_bytes()))
    with pytest.raises(RecordError, match=r"unknown key 'sesions'\. Did you mean 'sessions'\?"):
        read_record(path)


def test_a_foreign_schema_says_which_one_is_read(store: Store, saved: Record) -> None:
    path = store.path(saved.identity, ".json")
    path.write_bytes(DAMAGE["schema of the future"](path.read_bytes()))
    with pytest.raises(RecordError, match=r"999.*reads 1 and 2"):
        read_record(path)


def test_a_missing_record_is_not_done(store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    assert not store.is_done(identity)
    with pytest.raises(RecordError, match="no such record"):
        read_record(store.path(identity, ".json"))


def test_a_folder_in_the_place_of_a_record(store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    store.path(identity, ".json").mkdir(parents=True)
    assert not store.is_done(identity)
    kept, faults, _ = store.load("hand")
    assert kept == []
    assert "seed00.json" in faults[0]


# Read once ----------------------------------------------------------------------------------------------------------------


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
def old(store: Store, saved: Record) -> Path:
    """The file of a record that was written a while ago."""
    path = store.path(saved.identity, ".json")
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_a_file_that_stays_is_parsed_once(
    store: Store, saved: Record, old: Path, parsed: list[int], make_record: MakeRecord, costs: Costs
) -> None:
    """A sweep asks for all records when it begins and when it ends, and the report asks again."""
    others = [make_record("proto:default", seed) for seed in range(9)]
    for record in others:
        store.save(record, costs, b"")
    for _ in range(3):
        assert read_record(old) == saved
        assert store.is_done(saved.identity)
        assert store.load("hand") == ([saved, *others], [], [])
        assert Store(old.parents[4]).load("hand") == ([saved, *others], [], [])
    assert len(parsed) == 10


def test_a_record_that_is_replaced_is_read_again(store: Store, saved: Record, old: Path, costs: Costs, parsed: list[int]) -> None:
    """By one of the same size, too."""
    assert read_record(old) == saved
    last = saved.sessions[-1]
    for right in (5, 4):
        sessions = (*saved.sessions[:-1], last.model_copy(update={"correct": (right, *last.correct[1:])}))
        other = saved.model_copy(update={"sessions": sessions})
        size = old.stat().st_size
        store.save(other, costs, b"")
        assert old.stat().st_size == size
        assert read_record(old) == other
        assert store.load("hand") == ([other], [], [])
    assert len(parsed) == 3


def test_a_record_put_back_with_its_old_date_is_read_again(saved: Record, old: Path) -> None:
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


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_record_that_is_damaged_later_is_refused(damage: Callable[[bytes], bytes], store: Store, saved: Record, old: Path) -> None:
    """That it was good when it was last read is no reason to believe it; that it was bad, none to refuse it when it is good again."""
    whole = old.read_bytes()
    assert read_record(old) == saved
    old.write_bytes(damage(whole))
    for _ in range(2):
        with pytest.raises(RecordError, match=re.escape(str(old))):
            read_record(old)
    assert not store.is_done(saved.identity)
    kept, faults, _ = store.load("hand")
    assert kept == []
    assert len(faults) == 1
    old.write_bytes(whole)
    assert read_record(old) == saved


def test_a_record_that_is_removed_is_gone(store: Store, saved: Record, old: Path) -> None:
    assert store.is_done(saved.identity)
    old.unlink()
    with pytest.raises(RecordError, match="no such record"):
        read_record(old)
    assert not store.is_done(saved.identity)
    assert store.load("hand") == ([], [], [])


@pytest.mark.parametrize("target", ["seed07.json", "../lecnet-code/seed03.json", "../../quick.canonical/lecnet-paper/seed03.json"])
def test_a_record_moved_to_another_runs_place(target: str, store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """Otherwise one run would be averaged twice, or under another's name."""
    path = store.path(saved.identity, ".json")
    moved = path.parent / target
    moved.parent.mkdir(parents=True, exist_ok=True)
    moved.write_bytes(path.read_bytes())
    kept, faults, _ = store.load("hand")
    assert kept == [saved]
    assert len(faults) == 1
    assert moved.resolve().relative_to(store.root).as_posix() in faults[0]
    assert "lecnet-paper/seed03" in faults[0]
    assert not store.is_done(make_identity("lecnet:paper", 7))
    assert not store.is_done(make_identity("lecnet:code", 3))


@pytest.mark.parametrize(("rows", "kept"), [("b" * 64, []), ("d" * 64, [0, 1])], ids=["the same shots", "other shots"])
def test_equal_predictions_are_copies_only_of_equal_shots(
    rows: str, kept: list[int], store: Store, make_record: MakeRecord, costs: Costs
) -> None:
    """A method that answers the newest class, whatever it was shown, is no forger."""
    first, second = make_record(seed=0), make_record(seed=1)
    store.save(first, costs, b"")
    store.save(second.model_copy(update={"predictions_sha256": first.predictions_sha256, "rows_sha256": rows}), costs, b"")
    records, faults, _ = store.load("hand")
    assert [record.identity.seed for record in records] == kept
    assert len(faults) == 2 - len(kept)


def test_a_record_of_another_protocol_in_this_ones_folder(store: Store, saved: Record) -> None:
    path = store.path(saved.identity, ".json")
    foreign = store.root / "other" / path.relative_to(store.root / "hand")
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(path.read_bytes())
    kept, faults, _ = store.load("other")
    assert kept == []
    assert len(faults) == 1


# Identity ---------------------------------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {
    "suite": 2,
    "data": {"source": "digits", "size": 9},
    "augment": {"pad": 2},
    "sessions": {"base": 2, "way": 1, "count": 2, "shots": 4},
    "backbone": {"name": "conv4", "pretrained": None},
    "recipe_settings": {"epochs": 3, "lr": 0.1},
    "config": {"lr": 0.02, "gamma": 0.8, "milestones": [3, 5]},
    "version": 2,
    "base": "projected",
    "base_settings": {"lr": 0.2},
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_record_of_other_settings_is_not_this_run(field: str, store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    assert store.is_done(make_identity("lecnet:paper", 3))
    assert not store.is_done(make_identity("lecnet:paper", 3, **{field: CHANGES[field]}))


def test_a_record_of_other_images_does_not_count_as_done(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    """A folder's images were replaced: same identity, another hash."""
    store, record = Store(tmp_path), make_record()
    store.save(record, costs, b"")
    assert store.is_done(record.identity)
    assert store.is_done(record.identity, record.images_sha256)
    assert not store.is_done(record.identity, "d" * 64)


def test_a_record_from_before_bases_had_settings_still_counts(store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """Records of release 1 lack `base_settings`: they are of runs without any, and hours of work."""
    path = store.path(saved.identity, ".json")
    path.write_bytes(edited(lambda c: c["identity"].pop("base_settings"))(path.read_bytes()))
    assert b"base_settings" not in path.read_bytes()
    assert store.load("hand") == ([saved], [], [])
    assert store.is_done(make_identity("lecnet:paper", 3))
    assert not store.is_done(make_identity("lecnet:paper", 3, base_settings={"lr": 0.2}))


def test_every_field_of_an_identity_is_compared_or_stands_in_the_path() -> None:
    """A new field must be added to CHANGES, or to the path that tells runs apart."""
    in_the_path = {"protocol", "recipe", "split", "method", "preset", "overrides", "seed"}
    assert set(Identity.model_fields) == in_the_path | set(CHANGES)


PLACES: list[dict[str, Any]] = [
    {},
    {"protocol": "other"},
    {"recipe": "paper"},
    {"split": "canonical"},
    {"variant": "topic:paper"},
    {"variant": "lecnet:code"},
    {"overrides": {"gamma": 0.6}},
    {"overrides": {"gamma": 0.61}},
    {"overrides": {"gamma": "0.6"}},
    {"overrides": {"gamma": -0.6}},
    {"overrides": {"gamma": None}},
    {"overrides": {"gamma": [0.6]}},
    {"overrides": {"gamma": 0.6, "lr": 0.1}},
    {"overrides": {"mode": "a/b"}},
    {"overrides": {"mode": "a b"}},
    {"overrides": {"mode": "a(b)"}},
    {"overrides": {"mode": "é"}},
    {"overrides": {"note": "x" * 300}},
    {"overrides": {"note": "x" * 300 + "y"}},
    {"overrides": {"path": "../../../etc"}},
    {"seed": 1},
    {"seed": 10},
    {"seed": 100},
]


def test_stems_are_safe_and_unique(make_identity: MakeIdentity) -> None:
    stems = [make_identity(**place).stem for place in PLACES]
    assert len({str(stem).lower() for stem in stems}) == len(PLACES), "unique, on file systems that ignore case too"
    for stem in stems:
        assert len(stem.parts) == 4
        for part in stem.parts:
            assert re.fullmatch(r"[A-Za-z0-9=.,_-]+", part), part
            assert part not in (".", "..")
            assert len(part) < 200


@pytest.mark.parametrize("recipe", ["quick/er", "../quick"])
def test_a_recipe_name_cannot_leave_its_folder(recipe: str, tiny: Any) -> None:
    """Recipes are keys of a user's YAML and name a folder: a protocol must refuse what is no plain name."""
    content = tiny.model_dump(mode="json")
    content["recipes"] = {recipe: content["recipes"]["fast"]}
    content["recipe"] = recipe
    with pytest.raises(ValueError, match="recipe"):
        type(tiny).model_validate(content)


def test_variant_names(make_identity: MakeIdentity) -> None:
    assert make_identity("lecnet:paper").variant == "lecnet:paper"
    changed = make_identity("lecnet:paper", overrides={"lr": 0.1, "gamma": 0.6})
    assert changed.variant == "lecnet:paper[gamma=0.6,lr=0.1]"
    assert changed.variant == make_identity("lecnet:paper", overrides={"gamma": 0.6, "lr": 0.1}).variant
    assert changed.stem.parts[2].startswith("lecnet-paper-gamma=0.6,lr=0.1")


# Failure notes ----------------------------------------------------------------------------------------------------------


def test_a_failure_leaves_a_note_until_the_run_succeeds(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("ScoreError: session 1: scores are NaN", "Traceback ..."))
    assert not store.is_done(record.identity)
    failed = FailedRun("quick.paper", "ft_cnn-topic", "ft_cnn:topic", 2, "ScoreError: session 1: scores are NaN")
    assert store.load("hand") == ([], [], [failed])
    assert str(failed) == "ft_cnn:topic seed 2 (quick.paper): ScoreError: session 1: scores are NaN"
    note = json.loads(store.path(record.identity, ".failed.json").read_bytes())
    assert note["trace"] == "Traceback ..."
    store.save(record, costs, b"")
    assert store.load("hand") == ([record], [], [])


def test_killed_between_record_and_note(store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again must not leave a finished run named as failed for ever."""
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("out of memory", ""))

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", killed)
        store.save(record, costs, b"")
    if not store.is_done(record.identity):  # what the next sweep does
        store.save(record, costs, b"")
    assert store.load("hand") == ([record], [], [])


def test_a_failed_run_takes_its_outdated_record_out_of_the_tables(store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """The method's version was raised and the new run fails: the old numbers are those of a run that is no more."""
    store.save_failure(make_identity("lecnet:paper", 3, version=2), Failure("ValueError: broken", ""))
    kept, _, failures = store.load("hand")
    assert kept == [], "named as failed and averaged all the same"
    assert len(failures) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"1", b"\xff", b"[" * 200_000], ids=lambda content: repr(content[:3]))
def test_a_damaged_note_still_says_that_the_run_failed(content: bytes, store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity("ft_cnn:topic", 2)
    store.save_failure(identity, Failure("boom", ""))
    store.path(identity, ".failed.json").write_bytes(content)
    _, _, failures = store.load("hand")
    (failed,) = failures
    assert (failed.where, failed.folder, failed.seed) == ("quick.paper", "ft_cnn-topic", 2)
    assert "ft_cnn-topic seed 2" in str(failed)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_damaged_costs_cost_nothing(content: bytes, store: Store, saved: Record) -> None:
    store.path(saved.identity, ".cost.json").write_bytes(content)
    assert store.read_costs(saved.identity) is None
    assert store.is_done(saved.identity)
    assert store.load("hand") == ([saved], [], [])


# Bytes ------------------------------------------------------------------------------------------------------------------


def test_json_bytes_depend_on_the_content_alone() -> None:
    one = to_json({"b": 0.1, "a": [1, 2], "ü": None})
    assert one == to_json({"ü": None, "a": [1, 2], "b": 0.1})
    assert one.endswith(b"}\n")
    assert json.loads(one) == {"a": [1, 2], "b": 0.1, "ü": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError):
        to_json({"tau": value})


def test_saving_twice_gives_the_same_bytes(store: Store, saved: Record, costs: Costs) -> None:
    path = store.path(saved.identity, ".json")
    before = path.read_bytes()
    store.save(read_record(path), costs, b"predictions")
    assert path.read_bytes() == before
