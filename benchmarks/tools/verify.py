"""Check what stands in results/ without running anything: `run_all.py --verify`.

A record's counts against its predictions, where these are kept; its class order, images and rows against the split that its
seed gives, where the images are here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from benchmarks.data.images import ImageSet
from benchmarks.data.splits import Split, make_split
from benchmarks.planning.preflight import images_or_why
from benchmarks.records.predictions import recount
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import read_trace
from benchmarks.system.errors import DataError, RecordError, UsageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol


def verify(protocol: Protocol, settings: Settings) -> tuple[str, int]:
    """What was checked and what is wrong, one line each; and how many faults there are."""
    store = Store(settings.results)
    records, faults, failures = store.load(protocol.name)
    images, why = images_or_why(protocol, settings) if records else (None, "")

    @cache
    def split(name: str, seed: int) -> Split:
        assert images is not None
        return make_split(protocol, name, seed, images.train_classes, images.test_classes, images.keys)

    counted = split_checked = unsealed = traces = 0
    for record in records:
        packed = read(store.path(record.identity, ".npz"))
        wrong = []
        if packed is not None and record.schema_version > 1:
            wrong += predictions_fault(record, packed)
            counted += 1
        seen = list(store.path(record.identity, ".json").parent.glob(f"*/seed{record.identity.seed:02d}.json"))
        wrong += [fault for path in seen for fault in trace_fault(store, record, path.parent.name)]
        traces += len(seen)
        if images is not None:
            wrong += split_fault(protocol, record, images, split)
            split_checked += 1
        unsealed += record.schema_version == 1
        faults += [f"{record.identity.stem}.json: {fault}; remove it and run again" for fault in wrong]
    lines = [
        f"{protocol.name}: {len(records)} records read, {len(failures)} notes of failed runs",
        f"  {len(records) - unsealed} sealed, and the seals hold; {unsealed} of schema 1, which has no seal",
        f"  {counted} agree with their kept predictions or are named below; {len(records) - counted} have none here",
        f"  {split_checked} compared with the split of their seed" + (f": {why}" if why else ""),
        f"  {traces} traces of studies belong to their records or are named below",
        *(f"  FAULT {fault}" for fault in faults),
    ]
    return "\n".join(lines), len(faults)


def read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def trace_fault(store: Store, record: Record, probe: str) -> list[str]:
    from benchmarks.running.probes import PROBES

    if probe not in PROBES:
        return [f"the folder {probe}/ beside it is of no probe"]
    try:
        read_trace(store, record, probe, PROBES[probe].version)
    except RecordError as error:
        return [str(error).replace(f"{store.root}/", "").removesuffix("; run the study again")]
    return []


def predictions_fault(record: Record, packed: bytes) -> list[str]:
    if hashlib.sha256(packed).hexdigest() != record.predictions_sha256:
        return ["the predictions beside it are not those of this run"]
    try:
        counts = recount(packed)
    except ValueError as error:
        return [f"the predictions beside it cannot be read: {error}"]
    stated = [(session.correct, session.total) for session in record.sessions]
    return [] if counts == stated else ["its counts are not those of its predictions"]


def split_fault(protocol: Protocol, record: Record, images: ImageSet, split: Callable[[str, int], Split]) -> list[str]:
    identity = record.identity
    if identity.data != protocol.data.model_dump(mode="json") or identity.sessions != protocol.sessions:
        return ["it was run under another definition of this protocol"]
    if record.images_sha256 != images.sha256:
        return ["it was run on other images than those here"]
    try:
        expected = split(identity.split, identity.seed)
    except (DataError, UsageError) as error:
        return [str(error)]
    if (record.order, record.rows_sha256) != (expected.order, expected.indices_sha256):
        return ["its class order or its images are not those of its seed"]
    return []
