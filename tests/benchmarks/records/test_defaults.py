"""A default is part of a version: one that changes needs a new version, or old records would be taken for runs of the new default.

tests/data/defaults.json lists them all. After adding a field, or after raising a version, run `PYTHONPATH=. python` with this file, which
writes the list again; it refuses to list a changed default under the version that it had.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from benchmarks import SUITE_VERSION
from benchmarks.base.key import ALWAYS
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.records.migrations import MIGRATIONS
from benchmarks.records.schema import SCHEMA_VERSION, Record, SessionResult
from methods.contract.loading import load_base_kind, load_method
from methods.contract.registry import base_kind_names, method_names
from protocols import load_protocol, protocol_names
from protocols.schema import Augment, Backbone, BaseRecipe, Data, Sessions

LIST = Path(__file__).resolve().parents[2] / "data" / "defaults.json"
OF_RECORDS = (Data, Augment, Sessions, Backbone, BaseRecipe, BaseStage, Identity, SessionResult, Record)
Listed = dict[str, dict[str, Any]]


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Field -> default as JSON has it; fields that must be given are left out."""
    found = {name: field.get_default(call_default_factory=True) for name, field in sorted(model.model_fields.items())}
    return {name: to_jsonable_python(value) for name, value in found.items() if value is not PydanticUndefined}


def listed_now() -> Listed:
    """Owner -> its version, and its defaults. The record schema owns what protocols and recipes put into a record."""
    found: Listed = {model.__name__: {"version": SCHEMA_VERSION, "defaults": defaults_of(model)} for model in OF_RECORDS}
    for name in method_names():
        method = load_method(name)
        found[f"methods/{name}"] = {"version": method.version, "defaults": defaults_of(method.Config)}
    for name in base_kind_names():
        kind = load_base_kind(name)
        found[f"methods/bases/{name}"] = {"version": kind.version, "defaults": defaults_of(kind.Config)}
    return found


def changed(before: Listed, now: Listed) -> list[str]:
    """Defaults that differ under one version."""
    return [
        f"{owner}.{name}: {old['defaults'][name]} became {now[owner]['defaults'].get(name, 'required')} under version {old['version']}"
        for owner, old in before.items()
        if owner in now and now[owner]["version"] == old["version"]
        for name in old["defaults"]
        if now[owner]["defaults"].get(name, PydanticUndefined) != old["defaults"][name]
    ]


def test_no_default_changes_without_a_new_version() -> None:
    assert changed(json.loads(LIST.read_text()), listed_now()) == [], "raise the version, and write a migration where old runs still count"


def test_every_default_is_listed() -> None:
    """Of the suite's own methods and kinds, which are those on the list; a user's may stand beside them."""
    listed, now = json.loads(LIST.read_text()), listed_now()
    users = {owner for owner in now.keys() - listed.keys() if owner.startswith("methods/")}
    assert listed == {owner: now[owner] for owner in now if owner not in users}, (
        "python tests/benchmarks/records/test_defaults.py lists new fields"
    )
    recipes = [recipe for name in protocol_names() for recipe in load_protocol(name).recipes.values()]
    of_recipes = {f"methods/{name.partition(':')[0]}" for recipe in recipes for name in recipe.methods}
    assert of_recipes | {f"methods/bases/{name}" for recipe in recipes for name in recipe.bases} <= listed.keys()


def test_a_changed_default_is_found() -> None:
    before = listed_now()
    now = json.loads(json.dumps(before))
    now["Augment"]["defaults"]["pad"] = 4
    now["methods/lecnet"]["defaults"]["gamma"] = 0.6
    del now["methods/proto"]["defaults"]["mean"]
    assert [line.partition(":")[0] for line in changed(before, now)] == ["Augment.pad", "methods/lecnet.gamma", "methods/proto.mean"]
    now["methods/lecnet"]["version"] += 1
    assert [line.partition(":")[0] for line in changed(before, now)] == ["Augment.pad", "methods/proto.mean"]
    now["Augment"]["defaults"] = {**before["Augment"]["defaults"], "cutout": 0}
    assert [line.partition(":")[0] for line in changed(before, now)] == ["methods/proto.mean"], "a new field is no change"


def test_every_schema_version_has_its_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_fields_of_the_first_base_keys_are_still_there() -> None:
    """Their values stand in every key; without one of them every stored base model would be trained again."""
    assert SUITE_VERSION == 1
    for model, fields in ALWAYS.items():
        assert fields <= set(model.model_fields)


if __name__ == "__main__":
    faults = changed(json.loads(LIST.read_text()), listed_now()) if LIST.exists() else []
    if faults:
        sys.exit("\n".join([*faults, "raise the version first"]))
    LIST.write_text(json.dumps(listed_now(), indent=1, sort_keys=True) + "\n")
