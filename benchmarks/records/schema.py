"""The record of a finished run: what was found, as JSON has it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import model_validator

from benchmarks.data.splits import order_sha256
from benchmarks.records.identity import Identity
from protocols.fields import Strict

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
