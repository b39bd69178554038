"""The key of a base model: everything that can change it. It gives the name of the model's file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from benchmarks import SUITE_VERSION
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
    protocol: Protocol, recipe: BaseRecipe, base: str, base_version: int, seed: int, images: str, indices: str, environment: dict[str, Any]
) -> BaseKey:
    """The key of one base model. Titles, notes and methods' settings are left out, because they do not change it.

    `images` is the hash of the data set; `indices` is the hash of the base session's images and classes.
    """
    kind = {"base": base} if base_version == 1 else {"base": base, "base_version": base_version}
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
