"""`--verify`: records against their predictions, splits and images. It finds what a seal cannot: a record forged with its seal."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli import main as cli
from benchmarks.records.identity import Identity
from benchmarks.records.predictions import pack_predictions, recount
from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.store import Store
from benchmarks.running.runner import Runner
from benchmarks.system.errors import RecordError
from benchmarks.system.hashes import order_sha256
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import verify
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import identity_of

Forge = Callable[[dict[str, Any]], object]


@pytest.fixture
def identity(tiny: Protocol, runner: Runner) -> Identity:
    """On the images that are here."""
    return runner.complete(identity_of(tiny, "ft_cnn:topic"))


@pytest.fixture
def there(identity: Identity, with_run: Callable[[Identity], Store], settings: Settings) -> Settings:
    """Results with one true run."""
    with_run(identity)
    return settings


def rewrite(path: Path, forge: Forge) -> None:
    content = json.loads(path.read_bytes())
    del content["seal"]
    forge(content)
    path.write_bytes(to_json({**content, "seal": seal(content)}))


def test_a_true_record(tiny: Protocol, there: Settings) -> None:
    text, faults = verify(tiny, there)
    assert faults == 0
    assert text.splitlines() == [
        "tiny: 1 records read, 0 notes of failed runs",
        "  1 sealed, and the seals hold; 0 of schema 1, which has no seal",
        "  1 counted again from the predictions beside them, and right or named below; 0 carry counts alone, without their predictions",
        "  1 compared with the split of their seed",
        "  0 traces of studies belong to their records or are named below",
    ]


def test_counts_are_those_of_the_predictions(there: Settings, identity: Identity) -> None:
    store = Store(there.results)
    record = read_record(store.path(identity, ".json"))
    assert recount(store.path(identity, ".npz").read_bytes()) == [(session.correct, session.total) for session in record.sessions]


def flatter(content: dict[str, Any]) -> None:
    content["sessions"][2]["correct"][0] = content["sessions"][2]["total"][0] - 1


def swap(content: dict[str, Any]) -> None:
    content["order"][0], content["order"][1] = content["order"][1], content["order"][0]
    content["order_sha256"] = order_sha256(content["order"])


FORGED: dict[str, tuple[Forge, str]] = {
    "better counts": (flatter, "its counts are not those of its predictions"),
    "another order": (swap, "its class order or its images are not those of its seed"),
    "other shots": (lambda c: c.__setitem__("rows_sha256", "0" * 64), "its class order or its images are not those of its seed"),
    "test images chose, unsaid": (
        lambda c: c["identity"]["config"].__setitem__("selection", "oracle_test"),
        "selection is last, but that of its config is oracle_test",
    ),
    "predictions of another run": (lambda c: c.__setitem__("predictions_sha256", "0" * 64), "are not those of this run"),
}


@pytest.mark.parametrize(("forge", "fault"), FORGED.values(), ids=FORGED)
def test_a_forged_record_is_named(forge: Forge, fault: str, tiny: Protocol, there: Settings, identity: Identity) -> None:
    rewrite(Store(there.results).path(identity, ".json"), forge)
    text, faults = verify(tiny, there)
    assert faults == 1
    assert text.splitlines()[-1].startswith(f"  FAULT tiny/fast.paper/{identity.stem.parent.name}/seed00.json: ")
    assert fault in text.splitlines()[-1]


@pytest.mark.parametrize("key", ["images", "data"])
def test_what_was_run_on_other_images_or_another_definition_is_not_compared_and_says_so(
    key: str, tiny: Protocol, there: Settings, identity: Identity
) -> None:
    """Both lie side by side in a results folder, and only one can be tried here."""
    others: dict[str, Any] = {"images": "0" * 64, "data": {**tiny.data.model_dump(mode="json"), "size": 9}}
    rewrite(Store(there.results).path(identity, ".json"), lambda c: c["identity"].__setitem__(key, others[key]))
    text, faults = verify(tiny, there)
    assert faults == 0
    assert "  0 compared with the split of their seed\n" in text
    assert "  1 not compared: run on other images, or under another definition of the protocol\n" in text


@pytest.mark.parametrize(
    ("split", "fault"),
    [
        ("paper", "seeds 0, 1 have the same class order, which the split draws from the seed, so they are copies"),
        ("canonical-order", "seed01.json: its class order or its images are not those of its seed"),
    ],
)
def test_a_copy_under_another_seed_is_named(split: str, fault: str, tiny: Protocol, runner: Runner, settings: Settings) -> None:
    """By its order alone, or by the images of its seed."""
    identity = runner.complete(identity_of(tiny, "base_only:default")).model_copy(update={"split": split})
    store, other = Store(settings.results), identity.model_copy(update={"seed": 1})
    store.save(*runner.run(identity))
    shutil.copy(store.path(identity, ".json"), store.path(other, ".json"))
    rewrite(store.path(other, ".json"), lambda c: c["identity"].__setitem__("seed", 1))
    text, faults = verify(tiny, settings)
    assert faults == text.count(fault) == (2 if split == "paper" else 1)


def test_predictions_that_were_touched(tiny: Protocol, there: Settings, identity: Identity) -> None:
    store = Store(there.results)
    path = store.path(identity, ".npz")
    path.write_bytes(path.read_bytes()[:-1])
    assert "the predictions beside it are not those of this run" in verify(tiny, there)[0]
    packed = b"no archive"
    path.write_bytes(packed)
    rewrite(store.path(identity, ".json"), lambda c: c.__setitem__("predictions_sha256", hashlib.sha256(packed).hexdigest()))
    assert "the predictions beside it cannot be read: not a whole file of predictions" in verify(tiny, there)[0]


def test_without_predictions_or_images_it_says_so(tiny: Protocol, there: Settings, identity: Identity, tmp_path: Path) -> None:
    Store(there.results).path(identity, ".npz").unlink()
    folder = tiny.model_copy(update={"data": tiny.data.model_copy(update={"source": "folder", "path": "nowhere"})})
    text, faults = verify(folder, replace(there, data_root=tmp_path / "none"))
    assert faults == 0
    assert "  0 counted again from the predictions beside them, and right or named below; 1 carry counts alone" in text
    assert "0 compared with the split of their seed: " in text
    assert "nowhere" in text


def test_the_command(there: Settings, identity: Identity, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0 where all holds, 1 where something is named."""
    line = ["--protocol", str(TINY), "--verify", "--results", str(there.results), "--data-root", str(there.data_root)]
    assert cli.main(line) == 0
    path = Store(there.results).path(identity, ".json")
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    assert cli.main(line) == 1
    said = capsys.readouterr().out
    assert f"FAULT {identity.stem}.json: changed after it was written; remove it and run again" in said


def test_without_a_protocol_it_is_all_that_is_there(there: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """In every folder of records below --results; what no protocol here describes is not compared with any split."""
    shutil.copytree(there.results / "records" / "tiny", there.results / "search" / "records" / "small")
    line = ["--verify", "--results", str(there.results), "--data-root", str(there.data_root)]
    assert cli.main(line) == 1
    said = capsys.readouterr().out
    assert "tiny: 1 records read, 0 notes of failed runs" in said
    assert "0 compared with the split of their seed: there is no protocol tiny; name its file with --protocol" in said
    assert "small in search/: 0 records read" in said
    assert said.count("FAULT small/fast.paper/") == 1, "its place is another protocol's"
    shutil.rmtree(there.results / "search")
    assert cli.main(line) == 0


def test_nothing_to_verify(tiny: Protocol, settings: Settings) -> None:
    for protocol, named in ((tiny, " of tiny"), (None, "")):
        with pytest.raises(RecordError, match=f"no records{named} to verify"):
            verify(protocol, settings)


def test_predictions_of_fewer_classes_than_labels() -> None:
    """A class that no image is given to still counts its images."""
    labels = np.array([0, 1], dtype=np.int16)
    assert recount(pack_predictions([np.zeros(2, dtype=np.int16)], labels)) == [((1, 0), (1, 1))]
