"""A record counts at its own place alone: moved, copied and doubled ones are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.records.copies import copied_seeds
from benchmarks.records.costs import Costs
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.hashes import order_sha256
from tests.benchmarks.conftest import SETTINGS, MakeIdentity, MakeRecord
from tests.benchmarks.records.conftest import save


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


def test_copies_of_many_classes_are_named_too(make_record: MakeRecord) -> None:
    """Of 200 classes there are more orders than a float can count."""
    shape = {**SETTINGS["sessions"], "base": 198}
    alike = [make_record(seed=seed, correct=((8,) * 198, (7,) * 199, (6,) * 200), split="paper", sessions=shape) for seed in (0, 1)]
    assert len(copied_seeds(alike)) == 2


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
