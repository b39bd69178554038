"""What decides a base model: everything that can change it, and the name of its file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from benchmarks import SUITE_VERSION
from protocols.schema import Protocol, Recipe


@dataclass(frozen=True)
class BaseKey:
    """Everything that can change a base model. Its hash is the cache's file name."""

    fields: dict[str, Any]

    @property
    def text(self) -> str:
        return json.dumps(self.fields, sort_keys=True)

    @property
    def stem(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def base_key(
    protocol: Protocol, recipe: Recipe, base: str, seed: int, data_sha256: str, rows_sha256: str, environment: dict[str, Any]
) -> BaseKey:
    """The key of one base model. Presentation (titles, notes, methods' settings) is left out: it changes nothing."""
    return BaseKey(
        {
            "suite": SUITE_VERSION,
            "data": protocol.data.model_dump(mode="json"),
            "augment": protocol.augment.model_dump(mode="json"),
            "images": data_sha256,
            "indices": rows_sha256,
            "classes": protocol.sessions.base,
            "backbone": protocol.backbone.model_dump(mode="json"),
            "recipe": recipe.model_dump(mode="json", exclude={"methods", "bases"}),
            "base": base,
            "seed": seed,
            "environment": environment,
        }
    )
