"""The key of a base model: everything that can change it. It gives the name of the model's file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from benchmarks import SUITE_VERSION
from benchmarks.base.sources import kind_at_work
from benchmarks.records.identity import BaseStage
from protocols.fields import Strict
from protocols.schema import Augment, Backbone, BaseRecipe, Data, Protocol

ALWAYS: dict[type[Strict], set[str]] = {
    Data: {"source", "path", "classes", "size", "train_size", "channels", "mean", "std"},
    Augment: {"pad", "flip", "jitter"},
    Backbone: {"name", "pretrained"},
    BaseRecipe: {"epochs", "batch", "lr", "momentum", "nesterov", "weight_decay", "schedule", "milestones", "gamma", "warmup", "head_gain"}
    | {"precision"},
}
"""Fields that are part of every key. Fields added later are part of a key only if they differ from their default, so that a
new field with a default invalidates no stored base model. A field whose default ever changes must be added here."""

OURS = {"closer", "contrast", "cosface", "cosine", "episodes", "etf", "linear", "path", "projected", "rotations", "savc"}
OURS |= {"structure", "targets", "virtual"}
"""Base kinds whose `version` says when they train something else. An author who tries things out does not raise one after each edit, so
that the sources of all others are part of the key."""


@dataclass(frozen=True)
class BaseKey:
    """Everything that can change a base model. Its hash is the file name in the cache."""

    fields: dict[str, Any]

    @property
    def text(self) -> str:
        return json.dumps(self.fields, sort_keys=True)

    @property
    def stem(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def values_of(model: Strict) -> dict[str, Any]:
    """The values of a protocol section that are part of a key (see `ALWAYS`)."""
    always = next(fields for cls, fields in ALWAYS.items() if isinstance(model, cls))
    later = model.model_dump(mode="json", exclude=always, exclude_defaults=True)
    return {**model.model_dump(mode="json", include=always), **later}


def base_key(
    protocol: Protocol,
    recipe: BaseRecipe,
    stage: BaseStage,
    seed: int,
    images: str,
    indices: str,
    environment: dict[str, Any],
    parent: BaseKey | None = None,
) -> BaseKey:
    """The key of one base model. Titles, notes and methods' settings are left out, because they do not change it.

    `images` is the hash of the data set; `indices` is the hash of the base session's images and classes. `parent` is the key of the
    base model that the kind goes on with. A kind's own settings are part of the key where they differ from their defaults; the sources of
    a kind that is not the suite's are, too.
    """
    kind: dict[str, Any] = {"base": stage.base}
    if stage.base not in OURS:
        kind["base_sources"] = kind_at_work(stage.base)
    if stage.version != 1:
        kind["base_version"] = stage.version
    if stage.changed:
        kind["base_config"] = stage.changed
    if parent is not None:
        kind["parent"] = parent.stem
    return BaseKey(
        {
            "suite": SUITE_VERSION,
            "data": values_of(protocol.data),
            "augment": values_of(protocol.augment),
            "images": images,
            "rows": indices,
            "classes": protocol.sessions.base,
            "backbone": values_of(protocol.backbone),
            "recipe": values_of(recipe),
            **kind,
            "seed": seed,
            "environment": environment,
        }
    )
