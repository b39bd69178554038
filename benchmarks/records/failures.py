"""The note that a failed run leaves where its record would be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records.identity import Identity


@dataclass(frozen=True)
class Failure:
    """A run that did not end: the error's one line, and where it happened."""

    error: str
    trace: str


@dataclass(frozen=True)
class FailedRun:
    """A failure's note, read again. `where` is recipe.split. A damaged note, or one of an older release, has no identity; a damaged
    one is named by its folder."""

    where: str
    variant: str
    seed: int
    error: str
    identity: Identity | None = None

    def __str__(self) -> str:
        return f"{self.variant} seed {self.seed} ({self.where}): {self.error}"


def read_failure(path: Path) -> FailedRun:
    """A failure's note; a damaged one still says which run failed."""
    folder, seed = path.parent, int(re.sub(r"\D", "", path.name) or 0)
    try:
        content = json.loads(path.read_bytes())
        variant, error = str(content["variant"]), str(content["error"])
        identity = Identity.model_validate(content["identity"]) if "identity" in content else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        variant, error, identity = folder.name, "failed; the note that says why is damaged", None
    return FailedRun(folder.parent.name, variant, seed, error, identity)
