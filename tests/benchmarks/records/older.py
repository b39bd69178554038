"""Records in the form that earlier releases gave them."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.records.identity import Identity
from benchmarks.records.reading import seal, to_json
from benchmarks.records.schema import Record
from protocols.schema import Augment, Backbone, BaseRecipe, Data, Sessions
from tests.conftest import ROOT

Content = dict[str, Any]
OLD = ROOT / "tests" / "data" / "records_v1"
FILES = sorted(OLD.rglob("seed*.json"))
LAST_OF_1: Content = json.loads(FILES[-1].read_bytes())
PARTS = {"data": Data, "augment": Augment, "sessions": Sessions, "backbone": Backbone, "recipe_settings": BaseRecipe}
MOVED = {"images", "precision", "defaults", "base_version", "seal"}
"""Fields to which schema 3 gave a place, or schema 2, and which `as_written_by` puts back itself."""


def with_fields_of(before: Content, now: Content, model: type[Any]) -> Content:
    """What an older record had of a part of `now`. Fails if a later field has another value than all older records have there."""
    later = now.keys() - before.keys() - MOVED
    defaults = {name: model.model_fields[name].get_default(call_default_factory=True) for name in later}
    assert {name: json.dumps(now[name]) for name in later} == {name: json.dumps(value) for name, value in defaults.items()}
    return {name: value for name, value in now.items() if name not in later}


def as_written_by(schema: int, record: Record, first: bool = False) -> bytes:
    """The record in an older schema's form: images and precision outside the identity; in schema 1 fewer counts, and no seal.

    The first ones of schema 1 knew no settings of one base kind alone.
    """
    content = with_fields_of(LAST_OF_1, record.model_dump(mode="json"), Record)
    old_identity = LAST_OF_1["identity"]
    assert content["identity"]["base_config"].keys() == set(content["identity"]["base_defaults"]), "a base kind had no settings"
    identity = with_fields_of(old_identity, {**content["identity"], "base_config": {}, "base_defaults": []}, Identity)
    identity |= {part: with_fields_of(old_identity[part], identity[part], model) for part, model in PARTS.items()}
    content |= {"schema_version": schema, "images_sha256": identity.pop("images"), "identity": identity}
    for later in ("precision", "defaults", "base_version", *(["base_settings"] if first else [])):
        del identity[later]
    if schema == 1:
        for session in content["sessions"]:
            del session["numbers_kept"]
        return to_json(content)
    return to_json({**content, "seal": seal(content)})
