"""Costs of a run: seconds, memory, version of the code. They differ between repetitions, so they are stored beside the record."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from benchmarks.records.schema import Record
from benchmarks.system.files import read_bytes
from protocols.fields import Strict

Amount = Annotated[float, Field(ge=0, le=1e12)]


class Costs(Strict):
    """Costs of a run, and the code that ran it. `base_seconds` is 0 if the base model came from the cache.

    `sources` is the hash of the method's sources (source_hash.py); `sweep` identifies the command. Both are None in older files.
    `class_names` are those of the labels, in their order; empty where the data has numbers alone, and in older files. `equal_pictures`
    says how many pictures are equal that should not be (data/equal.py); empty if none are, and in older files.
    """

    base_seconds: Amount
    session_seconds: tuple[Amount, ...]
    evaluation_seconds: tuple[Amount, ...]
    peak_memory_mib: Amount
    commit: str
    sources: str | None = None
    sweep: str | None = None
    class_names: tuple[str, ...] = ()
    equal_pictures: tuple[str, ...] = ()

    @property
    def sessions_seconds(self) -> float:
        """Seconds of all sessions, training and testing, without the training of the base model."""
        return sum(self.session_seconds) + sum(self.evaluation_seconds)


def costs_of(record: Record) -> Costs | None:
    """The costs stored beside a record; None if the file is missing or damaged."""
    try:
        return Costs.model_validate(json.loads(read_bytes(record.beside(".cost.json"))))
    except (OSError, ValueError, RecursionError):
        return None
