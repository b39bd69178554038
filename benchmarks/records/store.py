"""Stores records under a results folder:

    records/<protocol>/<recipe>.<split>/<variant>-<digits>/seed00.json        the record; in git
                                                           seed00.cost.json   seconds, memory, commit: differs between repetitions
                                                           seed00.npz         predicted labels; not in git
                                                           seed00.failed.json why a run failed, until it succeeds
                                                           seed00.failed.txt  its traceback, for reading
                                                           <probe>/seed00.json  numbers of a probe (traces.py)

The record is written last, so that a run with a record is complete. The digits are a hash of all settings except the seed, so that two
runs never share a path. Records of schema 1 and 2 are in folders without digits; they are read there, but none is written there.
"""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.records.copies import copied_seeds
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun, Failure, read_failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record, refuse_later, seal, to_json
from benchmarks.records.schema import SCHEMA_VERSION, Record
from benchmarks.records.staging import finish_replacing, put_in_place, stage
from benchmarks.records.stated import stated_group
from benchmarks.system.errors import RecordError
from benchmarks.system.files import remove, write_atomic
from protocols.reading import plain

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
        """The usable record of this run that replaces all others of it; None if there is none."""
        return next(self.find_all(wanted, upgrade), None)

    def find_all(self, wanted: Identity, upgrade: Upgrade = unchanged) -> Iterator[Record]:
        """All intact records of this run: the one at the path of this release first, those of the oldest releases last."""
        for path in self._candidates(wanted):
            try:
                record = read_record(path)
            except RecordError:
                continue
            if wanted.same_as(record.identity) or wanted.same_as(upgrade(record.identity)):
                yield record

    def _candidates(self, wanted: Identity) -> Iterator[Path]:
        """Files that may hold the run."""
        name = f"seed{wanted.seed:02d}.json"
        folders = (self.root / wanted.group).glob(f"{glob.escape(wanted.readable)}*/")
        places = [folder for folder in sorted(folders) if wanted.may_lie_in(folder.relative_to(self.root))]
        known = wanted.images is not None and wanted.precision is not None
        here, old = self.path(wanted, "").parent if known else None, self.root / wanted.old_folder
        yield from (folder / name for folder in sorted(places, key=lambda folder: (folder != here, folder == old)))

    def save(self, record: Record, costs: Costs, predictions: bytes, traces: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Writes a finished run. It replaces an earlier record of the same run, and no other record.

        The record is written after what belongs to it. What belongs to a record that is replaced is put in place after the new record:
        a process that is killed before leaves the old one complete.
        """
        identity = record.identity
        place = self.path(identity, ".json")
        refuse_later(place)
        belongings = {self.trace_path(identity, probe): seen for probe, seen in traces.items()}
        belongings[self.path(identity, ".npz")] = predictions
        belongings[self.path(identity, ".cost.json")] = to_json(costs.model_dump(mode="json"))
        replaces = place.exists()
        if replaces:
            stage(belongings)
        else:
            for path, content in belongings.items():
                write_atomic(path, content)
        for suffix in (".failed.json", ".failed.txt"):
            remove(self.path(identity, suffix))
        fields = record.model_dump(mode="json")
        write_atomic(place, to_json({**fields, "seal": seal(fields)}))
        if replaces:
            put_in_place(belongings)

    def finish_replacing(self, protocol: str) -> None:
        """Ends what a killed process began when it replaced records of a protocol. Raises StorageError."""
        finish_replacing(self.root, protocol)

    def save_failure(self, identity: Identity, failure: Failure) -> Path | None:
        """Writes the note of a failed run beside the path of its record, and a readable file with its traceback. An existing record is not
        changed. Returns the path of the traceback; None if there is none."""
        content = {"variant": identity.variant, "seed": identity.seed, "error": failure.error, "trace": failure.trace}
        content["group"] = stated_group(identity.method) or ""
        write_atomic(self.path(identity, ".failed.json"), to_json({**content, "identity": identity.model_dump(mode="json")}))
        trace = self.path(identity, ".failed.txt")
        if not failure.trace:
            remove(trace)
            return None
        write_atomic(trace, failure.text(identity.name()).encode())
        return trace

    def load(self, protocol: str) -> tuple[list[Record], list[str], list[FailedRun]]:
        """Usable records of a protocol, a line for each record that cannot be used, and the failed runs that have no record."""
        records, failures = [], []
        files, faults = self._files(protocol)
        for path in files:
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

    def _files(self, protocol: str) -> tuple[list[Path], list[str]]:
        """Files of records, costs and failures, sorted, and a line for each place that cannot be looked into."""
        files, faults, folders = [], [], [self.root / protocol]
        for _ in ("recipe and split", "variant"):
            found, unread = listed(folders)
            faults += [self._named(line) for line in unread]
            faults += [self._named(f"{path}: a file where a folder of records belongs; move it") for path in found if not path.is_dir()]
            folders = [path for path in found if path.is_dir()]
        found, unread = listed(folders)
        files = sorted(path for path in found if path.name.startswith("seed") and path.suffix == ".json")
        return files, faults + [self._named(line) for line in unread]

    def _in_place(self, record: Record) -> Record:
        """Returns the record. Raises RecordError if its path belongs to another run."""
        path, identity = record.path, record.identity
        if path.stem != f"seed{identity.seed:02d}" or not identity.may_lie_in(path.parent.relative_to(self.root)):
            raise RecordError(f"{path}: its content belongs to {identity.stem}; remove it and run again")
        return record

    def _named(self, text: str) -> str:
        return plain(text.replace(f"{self.root}/", ""))


def listed(folders: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """What lies in these folders, hidden entries aside, and a line for each folder that cannot be listed."""
    found, unread = [], []
    for folder in sorted(folders):
        try:
            found += [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{folder}: cannot be read ({error.strerror}); give yourself access to it")
    return found, unread


def answers(record: Record, failed: FailedRun) -> bool:
    """Whether the record is of the failed run. A note without identity is compared by recipe, split, variant and seed."""
    identity = record.identity
    if failed.identity is not None:
        return identity.same_as(failed.identity)
    return (identity.group.name, identity.variant, identity.seed) == (failed.where, failed.variant, failed.seed)


def one_record_a_run(records: list[Record]) -> tuple[list[Record], list[tuple[Record, str]]]:
    """Records with each run once, and duplicates with a reason.

    A record at the path that this release gives to its run replaces the others of the run; they were written by older releases.
    """
    by_run: defaultdict[tuple[Path, str, int], list[Record]] = defaultdict(list)
    twice = []
    for record in sorted(records, key=lambda record: (not in_its_place(record), record.schema_version < SCHEMA_VERSION)):
        identity = record.identity
        others = by_run[identity.group, identity.variant, identity.seed]
        same = next((other for other in others if other.identity.same_as(identity)), None)
        if same is None:
            others.append(record)
        elif not in_its_place(same) and record.schema_version == SCHEMA_VERSION:
            twice.append((record, f"its run stands in {same.path.parent.name}/ too; remove one of the two"))
    kept = {id(record) for several in by_run.values() for record in several}
    return [record for record in records if id(record) in kept], twice


def in_its_place(record: Record) -> bool:
    """Whether the record lies in the folder that this release gives to its run."""
    return record.path.parent.name == record.identity.stem.parent.name
