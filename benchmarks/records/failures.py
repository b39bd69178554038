"""The note that a failed run leaves where its record would be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records.identity import Identity, run_name
from benchmarks.records.stated import GROUP
from benchmarks.system.files import read_bytes
from protocols.reading import plain


@dataclass(frozen=True)
class Failure:
    """Why a run failed: a one-line error message, the traceback (empty if its process died), and the place in a method's own code."""

    error: str
    trace: str
    place: str = ""

    def text(self, run: str) -> str:
        """The failure as a page for the method's author."""
        return "\n".join([f"{run} failed.", "", *filter(None, (self.error, self.place)), "", self.trace.rstrip(), ""])


@dataclass(frozen=True)
class FailedRun:
    """A failed run, read from its note. `where` is recipe.split. `identity` is None for a note that is damaged or from an older
    release; for a damaged note, `variant` is the name of its folder. `group` is that of its method, which a page asks for where it cannot
    read the method's file."""

    where: str
    variant: str
    seed: int
    error: str
    identity: Identity | None = None
    group: str = ""

    def __str__(self) -> str:
        return f"{run_name(self.variant, self.seed)} ({self.where}): {self.error}"


def read_failure(path: Path) -> FailedRun:
    """Reads a failed run's note. If it is damaged, its path still says which run failed."""
    folder, seed = path.parent, int(re.sub(r"\D", "", path.name) or 0)
    try:
        content = json.loads(read_bytes(path))
        variant, error = plain(str(content["variant"])), plain(str(content["error"]))
        identity = Identity.model_validate(content["identity"]) if "identity" in content else None
        group = str(content.get("group", ""))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        variant, error, identity, group = folder.name, "failed; the note that says why is damaged", None, ""
    return FailedRun(folder.parent.name, variant, seed, error, identity, group if re.fullmatch(GROUP, group) else "")
