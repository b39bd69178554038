"""What makes a run this run and no other."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from protocols.fields import Strict
from protocols.schema import Sessions


class Identity(Strict):
    """What makes a run this run and no other. Two records of one identity must agree (same environment: byte for byte)."""

    suite: int
    protocol: str
    data: dict[str, Any]
    augment: dict[str, Any]
    sessions: Sessions
    backbone: dict[str, Any]
    recipe: str
    recipe_settings: dict[str, Any]
    split: str
    method: str
    preset: str
    overrides: dict[str, Any]
    config: dict[str, Any]
    version: int
    base: str
    base_settings: dict[str, Any] = {}  # what the recipe changes for this base model alone
    seed: int

    @property
    def variant(self) -> str:
        """`lecnet:paper`, or `lecnet:paper[gamma=0.6]` where the command line changed something."""
        changes = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(self.overrides.items()))
        return f"{self.method}:{self.preset}" + (f"[{changes}]" if changes else "")

    @property
    def stem(self) -> Path:
        """Path of the record under records/, without suffix."""
        folder = re.sub(r"[^A-Za-z0-9=.,_-]+", "-", self.variant).strip("-")[:80]
        if self.overrides:  # readable, and unique however long
            folder += "-" + hashlib.sha256(self.variant.encode()).hexdigest()[:8]
        return Path(self.protocol) / f"{self.recipe}.{self.split}" / folder / f"seed{self.seed:02d}"
