"""Traces: the numbers that probes compute during a run, stored beside its record:

    records/<protocol>/<recipe>.<split>/<variant>-<digits>/<probe>/seed00.json

A trace names its record by the hash of the predictions. If that differs, the trace counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ValidationError

from benchmarks.records.reading import to_json
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import read_bytes
from protocols.fields import Strict
from protocols.messages import explain

VERSIONS = {"drift": 1, "epochs": 1, "fit": 1, "tsne": 1}
"""Present version of each probe (benchmarks/running/probes). Raise it when a change of the probe changes its numbers; older traces are
then computed again. The versions are here because a report reads traces and must not import the probes."""


class Trace(Strict):
    """The numbers of one probe for one run. `version` is the probe's."""

    schema_version: Literal[1] = 1
    probe: str
    version: int
    predictions_sha256: str
    numbers: dict[str, Any]


def read_trace(record: Record, probe: str) -> dict[str, Any]:
    """The numbers of a trace. Raises RecordError if it is missing, damaged, or of another record or version of the probe."""
    path = record.path.parent / probe / record.path.name
    try:
        trace = Trace.model_validate(json.loads(read_bytes(path)))
    except OSError:
        raise RecordError(f"{path}: no such trace; run the study again") from None
    except ValidationError as error:
        raise RecordError(f"{path}: {explain(error, Trace)}; run the study again") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not a whole JSON file ({error}); run the study again") from None
    if (trace.probe, trace.version, trace.predictions_sha256) != (probe, VERSIONS[probe], record.predictions_sha256):
        raise RecordError(f"{path}: was made with another record or release; run the study again")
    return trace.numbers


def has_traces(record: Record, probes: Sequence[str]) -> bool:
    """Whether there is a valid trace of every probe beside the record."""
    try:
        for probe in probes:
            read_trace(record, probe)
    except RecordError:
        return False
    return True


def trace_bytes(probe: str, numbers: dict[str, Any], record: Record) -> bytes:
    """The bytes of a trace of this record, as stored."""
    trace = Trace(probe=probe, version=VERSIONS[probe], predictions_sha256=record.predictions_sha256, numbers=numbers)
    return to_json(trace.model_dump(mode="json"))
