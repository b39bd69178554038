"""Runs records at random anew, beside those that are there, and says how far they agree: `run_all.py --reproduce N`."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.planning.ledger import Ledger, upgraded
from benchmarks.planning.preflight import check_before_training
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.frame import run_of
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.sweep import sweep
from benchmarks.system.errors import RecordError
from benchmarks.system.settings import Settings
from benchmarks.tools.compare import counted, same_settings
from protocols.schema import Protocol

RULE = (
    "Equal bytes: the same record. Equal counts: the same right answers per class, after every session. "
    "Otherwise it is said whether the last accuracy lies in the range of the row's seeds. Bytes repeat on one kind of processor with one "
    "set of versions; elsewhere counts or ranges are what can be asked for."
)


def reproduce(
    protocol: Protocol, runs: Sequence[Identity], ledger: Ledger, settings: Settings, count: int, workers: int
) -> tuple[str, int]:
    """Does `count` of the finished runs again, drawn at random, in a temporary folder; records stay as they are.

    Returns lines that say what agrees, and how many runs failed or ended outside the range of their row's seeds. The notes of
    failed runs stay. Raises RecordError if none of the runs is done here.
    """
    done = ledger.records(runs)
    if not done:
        raise RecordError(f"{ledger.store.root}: none of these {len(runs)} runs is done, so there is nothing to reproduce")
    drawn = random.SystemRandom().sample(done, min(count, len(done)))
    wanted = [run_of_record(record, runs) for record in drawn]
    with kept_with_failures() as folder:
        check_before_training(protocol, wanted, replace(settings, results=folder))
        store = Store(folder)
        sweep(protocol, wanted, replace(settings, results=folder, own_bases=None), workers, Progress(), Ledger(store))
        lines, faults = [], 0
        for record, run in zip(drawn, wanted, strict=True):
            again = store.find(run)
            said, held = ("failed", False) if again is None else agreement(record, again, of_row(record, done))
            faults += not held
            lines.append(f"{record.identity.name()} ({record.identity.group.name}): {said}")
    return "\n".join([*lines, RULE]), faults


@contextmanager
def kept_with_failures() -> Iterator[Path]:
    """A temporary folder, of which the notes of failed runs stay: messages name their tracebacks."""
    folder = Path(tempfile.mkdtemp(prefix="fscil-reproduce-"))
    try:
        yield folder
    finally:
        failed = any(folder.rglob("*.failed.txt"))
        shutil.rmtree(folder / ".base" if failed else folder, ignore_errors=True)


def run_of_record(record: Record, runs: Sequence[Identity]) -> Identity:
    """The run that a record is of, as it is asked for now, on the record's images and in its precision."""
    identity, now = record.identity, upgraded(record.identity)
    asked = next(run for run in runs if run.same_as(now))
    return asked.model_copy(update={"images": identity.images, "precision": identity.precision})


def of_row(record: Record, done: Sequence[Record]) -> list[Record]:
    """The records that are averaged with this one."""
    return [other for other in done if same_settings(record, other) and other.identity.precision == record.identity.precision]


def agreement(record: Record, again: Record, row: Sequence[Record]) -> tuple[str, bool]:
    """What agrees, and whether the new run is as good as the old one or lies in the range of the row's seeds."""
    if same_content(record, again):
        return "equal bytes", True
    if counted(record) == counted(again):
        return f"equal counts, other {differing(record, again)}", True
    before, now = (float(run_of(one).accuracies[-1]) for one in (record, again))
    of_seeds = [float(run_of(one).accuracies[-1]) for one in row]
    low, high = min(of_seeds), max(of_seeds)
    inside = low <= now <= high
    where = f"{'inside' if inside else 'outside'} the range of its {len(row)} seeds, {low:.2f} to {high:.2f}"
    return f"other counts: last accuracy {now:.2f}, recorded {before:.2f}, {where}; other {differing(record, again)}", inside


def same_content(record: Record, again: Record) -> bool:
    """Whether two records say the same, whatever the form of their files."""
    one, other = (found.model_dump(mode="json", exclude={"schema_version", "identity"}) for found in (record, again))
    return one == other


def differing(record: Record, again: Record) -> str:
    """What was not the same when the run was done again."""
    keys = sorted({key for key in {*record.environment, *again.environment} if record.environment.get(key) != again.environment.get(key)})
    return ", ".join(keys) if keys else "nothing that the record knows of"
