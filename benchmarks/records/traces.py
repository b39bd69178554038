"""What probes saw of a run, beside its record:

    records/<protocol>/<recipe>.<split>/<variant>/<probe>/seed00.json

A trace names the record that it belongs to by the hash of its predictions: made with another, it counts as not there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, to_json
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.system.errors import RecordError
from protocols.fields import Strict
from protocols.loading import explain

if TYPE_CHECKING:
    from benchmarks.running.probes import Probe


class Trace(Strict):
    """One probe's numbers of one run. `version` is the probe's."""

    schema_version: Literal[1] = 1
    probe: str
    version: int
    predictions_sha256: str
    numbers: dict[str, Any]


def read_trace(store: Store, record: Record, probe: str, version: int) -> dict[str, Any]:
    """The numbers. Raises RecordError where there is no trace of this probe and record."""
    path = store.trace_path(record.identity, probe)
    try:
        trace = Trace.model_validate(json.loads(path.read_bytes()))
    except OSError:
        raise RecordError(f"{path}: no such trace; run the study again") from None
    except ValidationError as error:
        raise RecordError(f"{path}: {explain(error, Trace)}; run the study again") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not a whole JSON file ({error}); run the study again") from None
    if (trace.probe, trace.version, trace.predictions_sha256) != (probe, version, record.predictions_sha256):
        raise RecordError(f"{path}: was made with another record or release; run the study again")
    return trace.numbers


def has_traces(store: Store, identity: Identity, probes: Sequence[str]) -> bool:
    """Whether a run whose record is there has a trace of every probe."""
    if not probes:
        return True
    from benchmarks.running.probes import PROBES

    try:
        record = read_record(store.path(identity, ".json"))
        for probe in probes:
            read_trace(store, record, probe, PROBES[probe].version)
    except RecordError:
        return False
    return True


def trace_bytes(probe: Probe, record: Record) -> bytes:
    trace = Trace(probe=probe.name, version=probe.version, predictions_sha256=record.predictions_sha256, numbers=probe.numbers())
    return to_json(trace.model_dump(mode="json"))
