"""The result of a run: one JSON that repeats byte for byte, what it cost beside it, and the predicted labels.

    records/<protocol>/<recipe>.<split>/<variant>/seed00.json        what was found; goes into git
                                                  seed00.cost.json   seconds, memory, commit: differs from run to run
                                                  seed00.npz         predicted labels; stays out of git
                                                  seed00.failed.json why a run failed, until it succeeds
                                                  <probe>/seed00.json  what a study looked at (benchmarks.records.traces)

The record is written last: where it is, the run is done.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun, Failure, read_failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import remove, write_atomic


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
