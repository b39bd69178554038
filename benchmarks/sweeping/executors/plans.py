"""What the elements of one submission hold, in a file that all nodes read: data, never code."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.planning.ledger import Ledger
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import RecordError, StorageError
from benchmarks.system.files import SUITE_ROOT, read_bytes, write_atomic
from benchmarks.system.settings import Settings
from protocols.messages import first_line
from protocols.schema import Protocol
from protocols.seeds import in_words

FOLDER = ".cluster"
"""Folder below the results folder that holds plans, what elements tell, and their logs."""
FOLDERS = [field.name for field in fields(Settings) if "Path" in str(field.type)]
SOURCES = ("benchmarks", "methods", "protocols")
DIGITS = 16


@dataclass(frozen=True)
class Plan:
    """`groups` are the runs of each element, `workers` the runs that an element does at a time. `sources` is the hash of the suite's
    files when the plan was made."""

    task: Task
    groups: tuple[tuple[Identity, ...], ...]
    workers: int
    sources: str

    def write(self) -> Path:
        """Writes the plan into a new folder of its own, which it returns. Raises StorageError."""
        task, settings = self.task, self.task.settings
        folder = settings.results / FOLDER / uuid.uuid4().hex[:8]
        content = {
            "protocol": task.protocol.model_dump(mode="json"),
            "settings": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()},
            "probes": dict(task.ledger.probes),
            "anew": task.ledger.anew,
            "started": task.started,
            "sweep": task.sweep,
            "workers": self.workers,
            "sources": self.sources,
            "groups": [[run.model_dump(mode="json") for run in group] for group in self.groups],
        }
        try:
            write_atomic(folder / "plan.json", json.dumps(content).encode())
        except StorageError:
            with suppress(OSError):
                folder.rmdir()
            raise
        return folder


def read_plan(folder: Path) -> Plan:
    """The plan in this folder. Raises OSError, or RecordError for a file that is no plan."""
    try:
        content: dict[str, Any] = json.loads(read_bytes(folder / "plan.json"))
        said = content["settings"]
        folders = {name: Path(said[name]) for name in FOLDERS if said[name] is not None}
        settings = Settings(**{**said, **folders})
        probes = {runs: tuple(names) for runs, names in content["probes"].items()}
        ledger = Ledger(Store(settings.results), probes, content["anew"])
        protocol = Protocol.model_validate(content["protocol"])
        task = Task(protocol, settings, ledger, content["started"], content["sweep"])
        groups = tuple(tuple(Identity.model_validate(run) for run in group) for group in content["groups"])
        return Plan(task, groups, content["workers"], content["sources"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(f"{folder}: no plan of this release ({first_line(error)})") from None


def sources_now(own: Path | None) -> str:
    """Hash of all files of the suite, and of the user's own methods in the folder `own`: what runs that begin now are computed with.
    Hidden files are an editor's."""
    hashed = hashlib.sha256()
    for folder in [*(SUITE_ROOT / name for name in SOURCES), *([] if own is None else [own])]:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue
            hashed.update(f"{path.relative_to(folder)}\0".encode())
            hashed.update(hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()[:DIGITS]


def groups_of(runs: Sequence[Identity], seeds: int) -> list[list[Identity]]:
    """The runs in groups of so many seeds each. All runs of a seed are in one group, so that no two groups need one base model."""
    several = sorted({run.seed for run in runs})
    parts = [several[start : start + seeds] for start in range(0, len(several), seeds)]
    return [[run for run in runs if run.seed in part] for part in parts]


def named(runs: Sequence[Identity]) -> str:
    """A group by its seeds."""
    return in_words(run.seed for run in runs)
