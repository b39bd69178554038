"""The record of a finished run, as it is stored in JSON.

A new field needs a default that is right for older records, which lack the field. A change that no default can express needs a new
schema version, with a function in migrations.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from benchmarks.records.identity import Identity, Selection
from benchmarks.records.stated import GROUP
from benchmarks.system.hashes import order_sha256
from protocols.fields import Line, Strict

SCHEMA_VERSION: Literal[3] = 3
BASE_ORIGIN = "base trained with"
"""Key in `environment` that names the environment of the base models, if they were trained in another one."""
Count = Annotated[int, Field(ge=0, le=10**12)]


class SessionResult(Strict):
    """Results after one session: correct predictions and test images per label seen, in order of arrival."""

    correct: tuple[Count, ...]
    total: tuple[Count, ...]
    images_kept: Count
    parameters_added: int
    numbers_kept: int | None = None  # None in records of schema 1
    log: dict[str, float] = {}


class Record(Strict):
    """One finished run. `schema_version` is that of the file; the fields are always those of the present schema."""

    schema_version: Literal[1, 2, 3] = SCHEMA_VERSION
    title: Line
    identity: Identity
    order: tuple[int, ...]
    order_sha256: str
    rows_sha256: str
    """Hash of the indices of all training and test images, session by session."""
    environment: dict[str, str | int]
    selection: Selection
    memory_budget: int | None
    knows_all_classes: bool = False
    """Whether the base session knew how many classes would come."""
    group: str = Field("", pattern=f"^{GROUP}$")
    """The method's group. Pages ask for it only where the method's file cannot be read."""
    sessions: tuple[SessionResult, ...]
    predictions_sha256: str
    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The file that the record was read from. Raises ValueError for a record that was not read from a file."""
        if self._path is None:
            raise ValueError("this record was not read from a file")
        return self._path

    def beside(self, suffix: str) -> Path:
        """Path of a file beside the record: suffix `.npz` for its predictions, `.cost.json` for its costs."""
        return self.path.with_name(self.path.stem + suffix)

    def read_from(self, path: Path) -> Record:
        """Sets the record's path. Returns the record itself."""
        self._path = path
        return self

    @property
    def images_sha256(self) -> str:
        return str(self.identity.images)

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        shape = self.identity.sessions
        if self.identity.images is None or self.identity.precision != self.environment.get("precision"):
            raise ValueError("the identity must name the images, and the precision that the environment names")
        if self.selection != self.identity.selection:
            raise ValueError(f"selection is {self.selection}, but that of its config is {self.identity.selection}")
        values = self.identity.values
        if wrong := [key for key, value in sorted(self.identity.overrides.items()) if key not in values or values[key] != value]:
            raise ValueError(f"overrides: {wrong[0]} has another value than in its config")
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
                raise ValueError(f"session {number}: numbers_kept belongs to records of schema 2 and later, and to all of them")
            if any(not np.isfinite(value) for value in session.log.values()):
                raise ValueError(f"session {number} logs a value that is not a number")
        return self
