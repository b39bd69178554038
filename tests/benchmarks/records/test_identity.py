"""What makes a run this run: every field of its identity."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from tests.benchmarks.conftest import SETTINGS, MakeIdentity

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
