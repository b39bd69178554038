"""The result of a run: one JSON that repeats byte for byte, what it cost beside it, and the predicted labels.

    records/<protocol>/<recipe>.<split>/<variant>/seed00.json        what was found; goes into git
                                                  seed00.cost.json   seconds, memory, commit: differs from run to run
                                                  seed00.npz         predicted labels; stays out of git
                                                  seed00.failed.json why a run failed, until it succeeds
                                                  <probe>/seed00.json  what a study looked at (benchmarks.records.traces)

The record is written last: where it is, the run is done.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError, model_validator

from benchmarks.data.splits import order_sha256
from benchmarks.system.errors import RecordError
from benchmarks.system.files import remove, write_atomic
from protocols.loading import explain
from protocols.schema import Sessions, Strict

SCHEMA_VERSION: Literal[2] = 2
READ_VERSIONS = (1, 2)
"""Schema 1 has no seal and no `numbers_kept`, and its predictions come without labels. Both are read for ever."""


class SessionResult(Strict):
    """After one session: right answers and test images of every label seen, in order of arrival."""

    correct: tuple[int, ...]
    total: tuple[int, ...]
    images_kept: int
    parameters_added: int
    numbers_kept: int | None = None  # None: schema 1
    log: dict[str, float] = {}


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


class Record(Strict):
    """One finished run."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    title: str
    identity: Identity
    order: tuple[int, ...]
    order_sha256: str
    rows_sha256: str
    images_sha256: str
    environment: dict[str, str | int]
    selection: Literal["last", "val", "oracle_test"]
    memory_budget: int | None
    sessions: tuple[SessionResult, ...]
    predictions_sha256: str

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        shape = self.identity.sessions
        if len(self.order) != shape.classes or order_sha256(self.order) != self.order_sha256:
            raise ValueError("the class order and its hash do not agree")
        if len(self.sessions) != shape.count + 1:
            raise ValueError(f"{len(self.sessions)} sessions instead of {shape.count + 1}")
        for number, session in enumerate(self.sessions):
            seen = shape.span(number).stop
            if not len(session.correct) == len(session.total) == seen:
                raise ValueError(f"session {number} must count {seen} classes")
            if any(not 0 <= right <= images or images == 0 for right, images in zip(session.correct, session.total, strict=True)):
                raise ValueError(f"session {number} has impossible counts")
            if (session.numbers_kept is None) == (self.schema_version > 1):
                raise ValueError(f"session {number}: numbers_kept belongs to records of schema 2, and to all of them")
            if any(not np.isfinite(value) for value in session.log.values()):
                raise ValueError(f"session {number} logs a value that is not a number")
        return self


class Costs(Strict):
    """What a run cost, and the code that ran it. `base_seconds` is 0 where the base came from the cache."""

    base_seconds: float
    session_seconds: tuple[float, ...]
    evaluation_seconds: tuple[float, ...]
    peak_memory_mib: float
    commit: str

    @property
    def sessions_seconds(self) -> float:
        """All sessions, training and testing; without the base."""
        return sum(self.session_seconds) + sum(self.evaluation_seconds)


@dataclass(frozen=True)
class Failure:
    """A run that did not end: the error's one line, and where it happened."""

    error: str
    trace: str


@dataclass(frozen=True)
class FailedRun:
    """A failure's note, read again. `where` is recipe.split; `folder` has the variant's runs, and names it where the note is damaged."""

    where: str
    folder: str
    variant: str
    seed: int
    error: str

    def __str__(self) -> str:
        return f"{self.variant} seed {self.seed} ({self.where}): {self.error}"


def to_json(content: dict[str, Any]) -> bytes:
    """A line a key, and a line a session: small, and readable in a diff. Keys sorted; NaN refused (ValueError)."""

    def line(value: Any) -> str:
        return json.dumps(value, sort_keys=True, allow_nan=False)

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(map(line, value)) + "\n ]"
        return line(value)

    return ("{\n" + ",\n".join(f" {line(key)}: {text(value)}" for key, value in sorted(content.items())) + "\n}\n").encode()


def seal(content: dict[str, Any]) -> str:
    """Hash of a record's content: a slip of an editor is found. It is no signature: whoever forges a record can seal it."""
    return hashlib.sha256(to_json(content)).hexdigest()


def read_record(path: Path) -> Record:
    """Load and check one record. Raises RecordError naming the file and what is wrong with it."""
    try:
        facts = path.stat()
    except OSError:
        raise RecordError(f"{path}: no such record") from None
    return _read_record(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4096)
def _read_record(path: Path, *state: int) -> Record:
    """A sweep asks for every record when it begins and when it reports: parsed again only where the file is another."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not a whole JSON file ({error}); remove it and run again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in READ_VERSIONS:
        raise RecordError(f"{path}: record schema {version!r}, this release reads {' and '.join(map(str, READ_VERSIONS))}")
    try:
        if version > 1 and content.pop("seal", None) != seal(content):
            raise RecordError(f"{path}: changed after it was written; remove it and run again")
        return Record.model_validate(content)
    except ValidationError as error:
        raise RecordError(f"{path}: {explain(error, Record)}; remove it and run again") from None
    except ValueError as error:  # NaN has no place in JSON, and no seal
        raise RecordError(f"{path}: {error}; remove it and run again") from None


def read_failure(path: Path) -> FailedRun:
    """A failure's note; a damaged one still says which run failed."""
    folder, seed = path.parent, int(re.sub(r"\D", "", path.name) or 0)
    try:
        content = json.loads(path.read_bytes())
        variant, error = str(content["variant"]), str(content["error"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        variant, error = folder.name, "failed; the note that says why is damaged"
    return FailedRun(folder.parent.name, folder.name, variant, seed, error)


class Store:
    """Records under a results folder."""

    def __init__(self, results: Path) -> None:
        self.root = results / "records"

    def path(self, identity: Identity, suffix: str) -> Path:
        stem = self.root / identity.stem
        return stem.with_name(stem.name + suffix)

    def is_done(self, identity: Identity, images_sha256: str | None = None) -> bool:
        """Whether a whole record of exactly this identity, and of these images, is there.

        A damaged or outdated one is not: its run is done again. None asks nothing of the images.
        """
        try:
            record = read_record(self.path(identity, ".json"))
        except RecordError:
            return False
        return record.identity == identity and images_sha256 in (None, record.images_sha256)

    def trace_path(self, identity: Identity, probe: str) -> Path:
        record = self.path(identity, ".json")
        return record.parent / probe / record.name

    def save(self, record: Record, costs: Costs, predictions: bytes, traces: Mapping[str, bytes] = MappingProxyType({})) -> None:
        identity = record.identity
        for probe, seen in traces.items():
            write_atomic(self.trace_path(identity, probe), seen)
        write_atomic(self.path(identity, ".npz"), predictions)
        write_atomic(self.path(identity, ".cost.json"), to_json(costs.model_dump(mode="json")))
        remove(self.path(identity, ".failed.json"))
        content = record.model_dump(mode="json")
        write_atomic(self.path(identity, ".json"), to_json({**content, "seal": seal(content)}))

    def save_failure(self, identity: Identity, failure: Failure) -> None:
        content = {"variant": identity.variant, "seed": identity.seed, "error": failure.error, "trace": failure.trace}
        write_atomic(self.path(identity, ".failed.json"), to_json(content))
        if not self.is_done(identity):  # else only a trace was wanting
            remove(self.path(identity, ".json"))  # of other settings, or it would not have been run

    def read_costs(self, identity: Identity) -> Costs | None:
        try:
            return Costs.model_validate(json.loads(self.path(identity, ".cost.json").read_bytes()))
        except (OSError, ValueError, RecursionError):
            return None

    def load(self, protocol: str) -> tuple[list[Record], list[str], list[FailedRun]]:
        """All records of a protocol; one line for each that cannot be used; every failed run."""
        records, faults, failures = [], [], []
        for path in sorted((self.root / protocol).glob("*/*/seed*.json")):
            if path.name.endswith(".cost.json"):
                continue
            if path.name.endswith(".failed.json"):
                failures.append(read_failure(path))
                continue
            try:
                record = read_record(path)
                if self.path(record.identity, ".json") != path:
                    raise RecordError(f"{path}: its content belongs to {record.identity.stem}; remove it and run again")
                records.append(record)
            except RecordError as error:
                faults.append(str(error).replace(f"{self.root}/", ""))
        copies = copied_seeds(records)
        faults += [f"{one.identity.stem}.json: {why}" for one, why in copies]
        out = {id(one) for one, _ in copies}
        return [record for record in records if id(record) not in out], faults, failures


def copied_seeds(records: list[Record]) -> list[tuple[Record, str]]:
    """Records of a variant that predict the same from the same rows under several seeds: all but one are copies, none can be told apart.

    Other shots with the same predictions are none: a method that has collapsed on the newest class answers so, whatever it was shown.
    """
    same = defaultdict(list)
    for record in records:
        same[record.identity.stem.parent, record.rows_sha256, record.predictions_sha256].append(record)
    found = []
    for several in same.values():
        seeds = ", ".join(str(record.identity.seed) for record in several)
        if len(several) > 1:
            found += [(record, f"seeds {seeds} have the same predictions, so they are copies; remove and run again") for record in several]
    return found
