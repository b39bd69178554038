"""Stores records under a results folder:

    records/<protocol>/<recipe>.<split>/<variant>-<digits>/seed00.json        the record; in git
                                                           seed00.cost.json   seconds, memory, commit: differs between repetitions
                                                           seed00.npz         predicted labels; not in git
                                                           seed00.failed.json why a run failed, until it succeeds
                                                           <probe>/seed00.json  numbers of a probe (traces.py)

The record is written last, so that a run with a record is complete. The digits are a hash of all settings except the seed, so that two
runs never share a path. Records of schema 1 and 2 are in folders without digits; they are read there, but none is written there.
"""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun, Failure, read_failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, refuse_later, seal, to_json
from benchmarks.records.schema import Record
from benchmarks.system.errors import RecordError
from benchmarks.system.files import remove, write_atomic

Upgrade = Callable[[Identity], Identity]
"""Converts an identity of an older version of its method to the present version, if its runs are still valid."""


def stores_below(results: Path) -> list[Store]:
    """Stores of the results folder and of all folders in it that hold records, such as `search`."""
    folders = [folder.parent for folder in sorted(results.glob("**/records/"))]
    return [Store(folder) for folder in folders if "records" not in folder.relative_to(results).parts]


def unchanged(identity: Identity) -> Identity:
    return identity


class Store:
    """Records under a results folder."""

    def __init__(self, results: Path) -> None:
        self.root = results / "records"

    def protocols(self) -> list[str]:
        """Names of the protocols that have records here."""
        return sorted(folder.name for folder in self.root.glob("*/"))

    def path(self, identity: Identity, suffix: str) -> Path:
        """Path at which this release stores a file of the run."""
        stem = self.root / identity.stem
        return stem.with_name(stem.name + suffix)

    def trace_path(self, identity: Identity, probe: str) -> Path:
        record = self.path(identity, ".json")
        return record.parent / probe / record.name

    def find(self, wanted: Identity, upgrade: Upgrade = unchanged) -> Record | None:
        """The intact record of this run, also at a path of an older release; None if there is none."""
        for path in self._candidates(wanted):
            try:
                record = read_record(path)
            except RecordError:
                continue
            found = record.identity
            if wanted.same_as(found if found.version == wanted.version else upgrade(found)):
                return record
        return None

    def _candidates(self, wanted: Identity) -> Iterator[Path]:
        """Files that may hold the run, those of older releases last."""
        name = f"seed{wanted.seed:02d}.json"
        folders = (self.root / wanted.group).glob(f"{glob.escape(wanted.readable)}*/")
        places = [folder for folder in sorted(folders) if wanted.may_lie_in(folder.relative_to(self.root))]
        old = self.root / wanted.old_folder
        yield from (folder / name for folder in sorted(places, key=lambda folder: folder == old))

    def save(self, record: Record, costs: Costs, predictions: bytes, traces: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Writes a finished run, and replaces an earlier record of the same run. Raises RecordError for one of a later release."""
        identity = record.identity
        refuse_later(self.path(identity, ".json"))
        for probe, seen in traces.items():
            write_atomic(self.trace_path(identity, probe), seen)
        write_atomic(self.path(identity, ".npz"), predictions)
        write_atomic(self.path(identity, ".cost.json"), to_json(costs.model_dump(mode="json")))
        remove(self.path(identity, ".failed.json"))
        content = record.model_dump(mode="json")
        write_atomic(self.path(identity, ".json"), to_json({**content, "seal": seal(content)}))

    def save_failure(self, identity: Identity, failure: Failure) -> None:
        """Writes the note of a failed run beside the path of its record. An existing record is not changed."""
        content = {"variant": identity.variant, "seed": identity.seed, "error": failure.error, "trace": failure.trace}
        write_atomic(self.path(identity, ".failed.json"), to_json({**content, "identity": identity.model_dump(mode="json")}))

    def load(self, protocol: str) -> tuple[list[Record], list[str], list[FailedRun]]:
        """Usable records of a protocol, a line for each record that cannot be used, and the failed runs that have no record."""
        records, faults, failures = [], [], []
        for path in sorted((self.root / protocol).glob("*/*/seed*.json")):
            if path.name.endswith(".cost.json"):
                continue
            if path.name.endswith(".failed.json"):
                failures.append(read_failure(path))
                continue
            try:
                records.append(self._in_place(read_record(path)))
            except RecordError as error:
                faults.append(self._named(str(error)))
        records, twice = one_record_a_run(records)
        copies = copied_seeds(records)
        faults += [self._named(f"{one.path}: {why}") for one, why in (*twice, *copies)]
        out = {id(one) for one, _ in copies}
        records = [record for record in records if id(record) not in out]
        return records, faults, [failed for failed in failures if not any(answers(record, failed) for record in records)]

    def _in_place(self, record: Record) -> Record:
        """Returns the record. Raises RecordError if its path belongs to another run."""
        path, identity = record.path, record.identity
        if path.stem != f"seed{identity.seed:02d}" or not identity.may_lie_in(path.parent.relative_to(self.root)):
            raise RecordError(f"{path}: its content belongs to {identity.stem}; remove it and run again")
        return record

    def _named(self, text: str) -> str:
        return text.replace(f"{self.root}/", "")


def answers(record: Record, failed: FailedRun) -> bool:
    """Whether the record is of the failed run. A note without identity is compared by recipe, split, variant and seed."""
    identity = record.identity
    if failed.identity is not None:
        return identity.same_as(failed.identity)
    return (identity.group.name, identity.variant, identity.seed) == (failed.where, failed.variant, failed.seed)


def one_record_a_run(records: list[Record]) -> tuple[list[Record], list[tuple[Record, str]]]:
    """Records with each run once, and the duplicates with a reason. A duplicate in the folder of an older release is dropped without
    a reason."""
    by_run: defaultdict[tuple[Path, str, int], list[Record]] = defaultdict(list)
    twice = []
    for record in sorted(records, key=lambda record: record.path.parent.name == record.identity.old_folder.name):
        identity = record.identity
        others = by_run[identity.group, identity.variant, identity.seed]
        same = next((other for other in others if other.identity.same_as(identity)), None)
        if same is None:
            others.append(record)
        elif record.path.parent.name != identity.old_folder.name:
            twice.append((record, f"its run stands in {same.path.parent.name}/ too; remove one of the two"))
    kept = {id(record) for several in by_run.values() for record in several}
    return [record for record in records if id(record) in kept], twice


def copied_seeds(records: list[Record]) -> list[tuple[Record, str]]:
    """Records of a variant with the same image indices and predictions under several seeds, each with a reason.

    All but one must be copies, and nothing tells which. Equal predictions from other shots are not copies: a method that has collapsed
    on the newest class predicts the same, whatever its shots.
    """
    same = defaultdict(list)
    for record in records:
        identity = record.identity
        what = (identity.group, identity.variant, identity.images, identity.precision)
        same[what, record.rows_sha256, record.predictions_sha256].append(record)
    found = []
    for several in same.values():
        seeds = ", ".join(str(record.identity.seed) for record in several)
        if len({record.identity.seed for record in several}) > 1:
            found += [(record, f"seeds {seeds} have the same predictions, so they are copies; remove and run again") for record in several]
    return found
