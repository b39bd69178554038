"""Records: whole or not there, and never believed when they are damaged."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.records import store as records
from benchmarks.records.copies import copied_seeds
from benchmarks.records.costs import Costs, costs_of
from benchmarks.records.failures import FailedRun, Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.system.errors import RecordError, StorageError
from benchmarks.system.hashes import order_sha256
from tests.benchmarks.conftest import SETTINGS

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]
Content = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def save(store: Store, record: Record, costs: Costs, predictions: bytes = b"") -> Record:
    """The record as it is read back: it knows where it lies."""
    store.save(record, costs, predictions)
    return record.read_from(store.path(record.identity, ".json"))


@pytest.fixture
def saved(store: Store, make_record: MakeRecord, costs: Costs) -> Record:
    """One record in the store, with a gate log."""
    record = make_record("lecnet:paper", 3, logs=({}, {"tau": 0.5}, {"tau": 0.25}), images_kept=7, parameters_added=64)
    return save(store, record, costs, b"predictions")


def test_round_trip(store: Store, saved: Record, costs: Costs) -> None:
    read = read_record(store.path(saved.identity, ".json"))
    assert read == saved
    assert store.load("hand") == ([saved], [], [])
    assert store.find(saved.identity) == saved
    assert costs_of(read) == costs
    assert read.beside(".npz").read_bytes() == b"predictions"
    assert store.load("another") == ([], [], [])
    assert store.protocols() == ["hand"]


def test_files_stand_where_the_documentation_says(store: Store, saved: Record) -> None:
    found = sorted(path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file())
    folder = Path(found[0]).parent
    assert re.fullmatch(r"hand/quick\.paper/lecnet-paper-[0-9a-f]{8}", folder.as_posix())
    assert found == [f"{folder}/seed03.cost.json", f"{folder}/seed03.json", f"{folder}/seed03.npz"]


def test_stores_are_found_below_a_results_folder(store: Store, saved: Record, make_record: MakeRecord, costs: Costs) -> None:
    """A search's, too; and no folder of records is taken for another results folder."""
    results = store.root.parent
    save(Store(results / "search"), make_record(recipe="records"), costs)
    (saved.path.parent / "records").mkdir()
    assert [found.root for found in stores_below(results)] == [results / "records", results / "search" / "records"]


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
    assert store.find(record.identity) is None
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


# Places -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["seed07.json", "../lecnet-code-{digits}/seed03.json", "../../quick.canonical/{folder}/seed03.json"])
def test_a_record_moved_to_another_runs_place(target: str, store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """Otherwise one run would be averaged twice, or under another's name."""
    folder = saved.path.parent
    moved = folder / target.format(folder=folder.name, digits=folder.name[-8:])
    moved.parent.mkdir(parents=True, exist_ok=True)
    moved.write_bytes(saved.path.read_bytes())
    kept, faults, _ = store.load("hand")
    assert kept == [saved]
    assert len(faults) == 1
    assert moved.resolve().relative_to(store.root).as_posix() in faults[0]
    assert f"its content belongs to hand/quick.paper/{folder.name}/seed03" in faults[0]
    assert store.find(make_identity("lecnet:paper", 7)) is None
    assert store.find(make_identity("lecnet:code", 3)) is None


def test_a_record_of_another_protocol_in_this_ones_folder(store: Store, saved: Record) -> None:
    foreign = store.root / "other" / saved.path.relative_to(store.root / "hand")
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(saved.path.read_bytes())
    kept, faults, _ = store.load("other")
    assert (kept, len(faults)) == ([], 1)


def test_a_run_that_stands_in_several_folders_counts_once(store: Store, saved: Record) -> None:
    """Digits are of the release that wrote them: its own place goes before all others, and of two others one is named."""
    copies = [saved.path.parent.with_name(f"lecnet-paper-{digits}") / saved.path.name for digits in ("00000000", "ffffffff")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(saved.path.read_bytes())
    assert store.load("hand") == ([saved], [], [])
    assert store.find(saved.identity) == saved
    saved.path.unlink()
    ((kept,), (fault,), _) = store.load("hand")
    assert kept == store.find(saved.identity)
    assert kept.path == copies[0]
    assert (
        fault == "hand/quick.paper/lecnet-paper-ffffffff/seed03.json: its run stands in lecnet-paper-00000000/ too; remove one of the two"
    )


def test_what_lies_in_a_folders_place_is_named(store: Store, saved: Record) -> None:
    (store.root / "hand" / "notes.txt").write_text("mine")
    kept, faults, _ = store.load("hand")
    assert (kept, faults) == ([saved], ["hand/notes.txt: a file where a folder of records belongs; move it"])


def with_order(record: Record, order: tuple[int, ...]) -> Record:
    return record.model_copy(update={"order": order, "order_sha256": order_sha256(order)})


def ten_classes(make_record: MakeRecord, seed: int, split: str) -> Record:
    """Their order is that of every other record made so, and so are their images and their predictions."""
    correct = ((8,) * 8, (7,) * 9, (6,) * 10)
    record = make_record(seed=seed, correct=correct, split=split, sessions={**SETTINGS["sessions"], "base": 8})
    return record.model_copy(update={"predictions_sha256": "e" * 64})


def test_a_record_copied_under_another_seed_is_named(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    for seed in (0, 1):
        store.save(ten_classes(make_record, seed, "paper"), costs, b"")
    apart = save(store, with_order(ten_classes(make_record, 2, "paper"), tuple(range(10))), costs)
    records, faults, _ = store.load("hand")
    assert records == [apart]
    assert len(faults) == 2
    assert "seeds 0, 1 have the same class order, which the split draws from the seed, so they are copies" in faults[0]


def test_equal_images_and_predictions_are_no_copies(make_record: MakeRecord) -> None:
    """The split may leave no choice (five training images a class, or all images as in seqmnist), and a method may ignore the seed."""
    assert copied_seeds([ten_classes(make_record, seed, "canonical-order") for seed in range(3)]) == []
    drawn = [ten_classes(make_record, seed, "paper") for seed in range(2)]
    assert copied_seeds([drawn[0], with_order(drawn[1], tuple(range(10)))]) == []


def test_equal_orders_that_may_be_chance_are_no_copies(make_record: MakeRecord) -> None:
    """Of four classes there are 24 orders. Of ten there are 3,628,800, which is many for ten seeds, but not for a hundred."""
    assert copied_seeds([make_record(seed=seed) for seed in range(3)]) == []
    first, second, *others = (ten_classes(make_record, seed, "paper") for seed in range(100))
    unequal = [with_order(record, tuple(np.roll(range(10), turn % 10).tolist())) for turn, record in enumerate(others)]
    assert len(copied_seeds([first, second, *unequal[:8]])) == 2
    assert copied_seeds([first, second, *unequal]) == []


CONTRADICTIONS: dict[str, Callable[[Record], dict[str, Any]]] = {
    "selection is last, but that of its config is oracle_test": lambda record: {"selection": "last"},
    "overrides: gamma has another value than in its config": lambda record: {
        "identity": record.identity.model_copy(update={"overrides": {"gamma": 0.6}})
    },
    "overrides: cosine.scale has another value than in its config": lambda record: {
        "identity": record.identity.model_copy(
            update={"base": "cosine", "base_config": {"scale": 16.0}, "overrides": {"cosine.scale": 8.0}}
        )
    },
}


@pytest.mark.parametrize("why", CONTRADICTIONS)
def test_a_record_that_contradicts_its_config_is_named(why: str, store: Store, make_record: MakeRecord, costs: Costs) -> None:
    """Otherwise a row whose epochs test images chose would stand without its dagger, or a row under the name of another."""
    record = make_record("lecnet:oracle")
    assert record.selection == "oracle_test"
    store.save(record.model_copy(update=CONTRADICTIONS[why](record)), costs, b"")
    records, (fault,), _ = store.load("hand")
    assert records == []
    assert why in fault


def test_a_changed_value_of_a_base_kind_is_no_contradiction(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    parent = {"base": "cosine", "config": {"scale": 8.0}}
    changed: tuple[dict[str, Any], ...] = {"base": "cosine", "base_config": {"scale": 8.0}}, {"base": "path", "base_parents": (parent,)}
    for seed, changes in enumerate(changed):
        record = save(store, make_record(seed=seed, overrides={"cosine.scale": 8.0}, config={"lr": 0.01}, **changes), costs)
        assert store.find(record.identity) == record


# Identity ---------------------------------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {
    "suite": 2,
    "protocol": "other",
    "data": {**SETTINGS["data"], "size": 9},
    "augment": {"pad": 2},
    "sessions": {**SETTINGS["sessions"], "shots": 4},
    "backbone": {"name": "conv4", "pretrained": None},
    "recipe": "slow",
    "recipe_settings": {"epochs": 3, "lr": 0.1},
    "split": "canonical",
    "method": "topic",
    "preset": "code",
    "overrides": {"gamma": 0.8},
    "config": {"lr": 0.02, "gamma": 0.8, "milestones": [3, 5]},
    "version": 2,
    "base": "projected",
    "base_version": 2,
    "base_settings": {"lr": 0.2},
    "base_config": {"scale": 4.0},
    "base_parents": ({"base": "linear"},),
    "asked_base": "linear",
    "seed": 4,
    "images": "d" * 64,
    "precision": "bf16",
}


def test_every_field_of_an_identity_is_tried() -> None:
    """A new field must be added to CHANGES. `defaults` says of `config`, and `base_defaults` of `base_config`, what needs no value."""
    assert set(Identity.model_fields) == {"defaults", "base_defaults", *CHANGES}


@pytest.mark.parametrize("field", CHANGES)
def test_a_run_of_another_value_is_another_run(field: str, store: Store, saved: Record) -> None:
    other = Identity.model_validate({**saved.identity.model_dump(), field: CHANGES[field]})
    assert not other.same_as(saved.identity)
    assert store.find(other) is None
    assert other.stem != saved.identity.stem


@pytest.mark.parametrize("field", ["images", "precision"])
def test_what_is_left_open_is_what_is_there(field: str, store: Store, saved: Record) -> None:
    """Asked for with `precision: auto`, or where the images are not at hand."""
    wanted = saved.identity.model_copy(update={field: None})
    assert store.find(wanted) == saved
    with pytest.raises(ValueError, match="once its images and precision are known"):
        _ = wanted.stem


def test_a_field_that_one_run_lacks_has_its_default_there(make_identity: MakeIdentity) -> None:
    """It came later. Equal values are compared as they are: a default that changed is another run."""
    config = {"lr": 0.01, "gamma": 0.8, "milestones": [3, 5]}
    old = make_identity(config=config, defaults=("gamma",))
    at_default = make_identity(config={**config, "added": 7}, defaults=("gamma", "added"))
    changed = make_identity(config={**config, "added": 8}, defaults=("gamma",))
    moved = make_identity(config={**config, "gamma": 0.6}, defaults=("gamma",))
    for one, other, same in ((old, at_default, True), (old, changed, False), (old, moved, False), (at_default, changed, False)):
        assert one.same_as(other) is other.same_as(one) is same


# Failure notes ----------------------------------------------------------------------------------------------------------


def test_a_failure_leaves_a_note_until_the_run_succeeds(store: Store, make_record: MakeRecord, costs: Costs) -> None:
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("ScoreError: session 1: scores are NaN", "Traceback ..."))
    assert store.find(record.identity) is None
    failed = FailedRun("quick.paper", "ft_cnn:topic", 2, "ScoreError: session 1: scores are NaN", record.identity)
    assert store.load("hand") == ([], [], [failed])
    assert str(failed) == "ft_cnn:topic seed 2 (quick.paper): ScoreError: session 1: scores are NaN"
    note = json.loads(store.path(record.identity, ".failed.json").read_bytes())
    assert note["trace"] == "Traceback ..."
    assert store.load("hand") == ([], [], [failed])
    saved = save(store, record, costs)
    assert store.load("hand") == ([saved], [], [])
    assert not saved.beside(".failed.json").exists()


def test_killed_between_record_and_note(store: Store, make_record: MakeRecord, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again must not leave a finished run named as failed for ever."""
    record = make_record("ft_cnn:topic", 2)
    store.save_failure(record.identity, Failure("out of memory", ""))

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", killed)
        store.save(record, costs, b"")
    if store.find(record.identity) is None:  # what the next sweep does
        store.save(record, costs, b"")
    kept, faults, failures = store.load("hand")
    assert ([one.identity for one in kept], faults, failures) == ([record.identity], [], [])


def test_a_failure_removes_no_record(store: Store, saved: Record, make_identity: MakeIdentity) -> None:
    """Of another version of the method it is named beside the record; of the record's own run it is no news."""
    newer = make_identity("lecnet:paper", 3, version=2)
    store.save_failure(newer, Failure("ValueError: broken", ""))
    store.save_failure(saved.identity, Failure("ValueError: broken", ""))
    kept, _, failures = store.load("hand")
    assert kept == [saved]
    assert [failed.identity for failed in failures] == [newer]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"1", b"\xff", b"[" * 200_000], ids=lambda content: repr(content[:3]))
def test_a_damaged_note_still_says_that_the_run_failed(content: bytes, store: Store, make_identity: MakeIdentity) -> None:
    identity = make_identity("ft_cnn:topic", 2)
    store.save_failure(identity, Failure("boom", ""))
    note = store.path(identity, ".failed.json")
    note.write_bytes(content)
    _, _, (failed,) = store.load("hand")
    assert (failed.where, failed.seed, failed.identity) == ("quick.paper", 2, None)
    assert f"{note.parent.name} seed 2" in str(failed)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_damaged_costs_cost_nothing(content: bytes, store: Store, saved: Record) -> None:
    saved.beside(".cost.json").write_bytes(content)
    assert costs_of(saved) is None
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
