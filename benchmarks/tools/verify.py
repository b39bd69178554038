"""Checks the records in results/ without running anything: `run_all.py --verify`.

It checks every record below the folder: the seal, the counts against the predictions (if these are kept), the traces, and (if the
images are available) the class order, the images and their indices against the split of the record's seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.data.images import ImageSet
from benchmarks.data.pseudo import pseudo_images
from benchmarks.data.splits import Split, make_split
from benchmarks.planning.preflight import images_or_why
from benchmarks.records.predictions import are_of, kept_predictions, recount
from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.records.traces import VERSIONS, read_trace
from benchmarks.system.errors import DataError, RecordError, UsageError
from benchmarks.system.settings import Settings
from protocols import ProtocolError
from protocols.pseudo import find_protocol, is_of, pseudo_origin
from protocols.schema import Protocol


@dataclass
class Expected:
    """What the records of one protocol should agree with: the split of each seed, computed from the local images.

    `origin` is set for pseudo-sessions: the protocol whose base classes they use, and its split.
    """

    protocol: Protocol
    settings: Settings
    origin: tuple[Protocol, str] | None = None
    splits: dict[tuple[str, int, bool], tuple[str, Split]] = field(default_factory=dict)

    @cached_property
    def found(self) -> tuple[ImageSet | None, str]:
        """The data set's images and ''; or None and the reason why they are not available."""
        return images_or_why(self.origin[0] if self.origin else self.protocol, self.settings)

    def split(self, images: ImageSet, name: str, seed: int, val: bool = False) -> tuple[str, Split]:
        """Hash of the images and the split over them; with `val`, without held-out images. Raises DataError or UsageError."""
        if (name, seed, val) not in self.splits:
            if self.origin is not None:
                images = pseudo_images(self.origin[0], images, self.origin[1], seed)
            split = make_split(self.protocol, name, seed, images.train_classes, images.test_classes, images.keys)
            split = split.without_held_out(images.train_classes, seed)[0] if val else split
            self.splits[name, seed, val] = images.sha256, split
        return self.splits[name, seed, val]


def verify(protocol: Protocol | None, settings: Settings) -> tuple[str, int]:
    """Returns lines that say what was checked and what is wrong, and the number of faults. None: records of all protocols.

    Raises RecordError if there are no records.
    """
    lines, count = [], 0
    for store in stores_below(settings.results):
        for name in store.protocols():
            if is_of(name, protocol):
                about, faults = verify_one(store, name, protocol, settings)
                lines += [*about, *(f"  FAULT {fault}" for fault in faults)]
                count += len(faults)
    if not lines:
        raise RecordError(f"{settings.results}: no records{f' of {protocol.name}' if protocol else ''} to verify")
    return "\n".join(lines), count


def verify_one(store: Store, name: str, given: Protocol | None, settings: Settings) -> tuple[list[str], list[str]]:
    """Lines about the records of one protocol in one store, and their faults."""
    store.finish_replacing(name)
    records, faults, failures = store.load(name)
    expected, why = expected_of(name, given, settings)
    images: ImageSet | None = None
    if expected is not None and records:
        images, why = expected.found
    counted = traces = elsewhere = 0
    for record in records:
        packed = kept_predictions(record)
        wrong = [] if packed is None else predictions_fault(record, packed)
        counted += are_of(packed, record)
        seen = list(record.path.parent.glob(f"*/{record.path.name}"))
        wrong += [fault for path in seen for fault in trace_fault(store, record, path.parent.name)]
        traces += len(seen)
        if expected is not None and images is not None:
            fault = split_fault(expected, record, images)
            elsewhere += fault is None
            wrong += fault or []
        mend = "; remove it and run again"
        faults += [f"{record.path.relative_to(store.root)}: {fault}{'' if '; remove' in fault else mend}" for fault in wrong]
    unsealed = sum(record.schema_version == 1 for record in records)
    where = "" if store.root.parent == settings.results else f" in {store.root.parent.relative_to(settings.results)}/"
    lines = [
        f"{name}{where}: {len(records)} records read, {len(failures)} notes of failed runs",
        f"  {len(records) - unsealed} sealed, and the seals hold; {unsealed} of schema 1, which has no seal",
        f"  {counted} counted again from the predictions beside them, and right or named below; "
        f"{len(records) - counted} carry counts alone, without their predictions",
        f"  {0 if images is None else len(records) - elsewhere} compared with the split of their seed" + (f": {why}" if why else ""),
        *([f"  {elsewhere} not compared: run on other images, or under another definition of the protocol"] if elsewhere else []),
        f"  {traces} traces of studies belong to their records or are named below",
    ]
    return lines, faults


def expected_of(name: str, given: Protocol | None, settings: Settings) -> tuple[Expected | None, str]:
    """What records of this protocol should agree with, and ''; or None and the reason if the protocol is unknown."""
    try:
        return Expected(find_protocol(name, given), settings, pseudo_origin(name, given)), ""
    except ProtocolError:
        return None, f"there is no protocol {name}; name its file with --protocol"


def trace_fault(store: Store, record: Record, probe: str) -> Iterator[str]:
    if probe not in VERSIONS:
        yield f"the folder {probe}/ beside it is of no probe"
        return
    try:
        read_trace(record, probe)
    except RecordError as error:
        yield str(error).replace(f"{store.root}/", "").removesuffix("; run the study again")


def predictions_fault(record: Record, packed: bytes) -> list[str]:
    if not are_of(packed, record):
        return [f"the predictions beside it are not those of this run; remove {record.beside('.npz').name}"]
    try:
        counts = recount(packed)
    except ValueError as error:
        return [f"the predictions beside it cannot be read: {error}"]
    stated = [(session.correct, session.total) for session in record.sessions]
    return [] if counts == stated else ["its counts are not those of its predictions"]


def split_fault(expected: Expected, record: Record, images: ImageSet) -> list[str] | None:
    """Differences from the split of the record's seed; None if the record was run on other images or under another definition of the
    protocol, of which the split is not known here."""
    identity, protocol = record.identity, expected.protocol
    if identity.data != protocol.data or identity.sessions != protocol.sessions or identity.split not in protocol.splits:
        return None
    try:
        images_sha256, split = expected.split(images, identity.split, identity.seed, record.selection == "val")
    except (DataError, UsageError) as error:
        return [str(error)]
    if record.images_sha256 != images_sha256:
        return None
    if (record.order, record.rows_sha256) != (split.order, split.indices_sha256):
        return ["its class order or its images are not those of its seed"]
    return []
