"""Holds two results folders against each other, run by run and method by method: `run_all.py --compare A B`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.statistics import EQUAL, FEWEST_TO_TEST, half_widths
from benchmarks.records.schema import Record
from benchmarks.records.store import stores_below
from benchmarks.report.cells import in_text
from benchmarks.report.frame import label_of, run_of
from benchmarks.system.errors import RecordError, UsageError
from protocols.reading import short
from protocols.seeds import in_words

Curves = NDArray[np.float64]
Agreement = Literal["equal bytes", "equal counts", "other counts"]
Verdict = Literal["equal bytes", "equal counts", "within intervals", "differs"]
AGREEMENTS: tuple[Agreement, ...] = ("equal bytes", "equal counts", "other counts")
VERDICTS: tuple[Verdict, ...] = ("equal bytes", "equal counts", "within intervals", "differs")
RULE = (
    "Equal bytes: the records are the same file. Equal counts: the same classes, images and right answers per class, after every session. "
    "Within intervals: after every session, each folder's mean over the common seeds lies inside the other's 95 % interval. "
    f"Fewer than {FEWEST_TO_TEST} seeds have no interval."
)


@dataclass(frozen=True)
class Pair:
    """The same run in both folders."""

    first: Record
    second: Record

    @cached_property
    def agreement(self) -> Agreement:
        if self.first.path.read_bytes() == self.second.path.read_bytes():
            return "equal bytes"
        return "equal counts" if counted(self.first) == counted(self.second) else "other counts"


@dataclass(frozen=True)
class Row:
    """The runs of one method and setting: in both folders, and in one of them alone."""

    where: str
    label: str
    pairs: Sequence[Pair]
    only_first: Sequence[Record]
    only_second: Sequence[Record]

    @cached_property
    def verdict(self) -> Verdict | None:
        """None if no run is in both folders."""
        if not self.pairs:
            return None
        worst = max(AGREEMENTS.index(pair.agreement) for pair in self.pairs)
        if worst < 2:
            return VERDICTS[worst]
        return "within intervals" if within(*self.curves) else "differs"

    @cached_property
    def curves(self) -> tuple[Curves, Curves]:
        """Accuracy [common seeds, sessions] in the first and in the second folder."""
        return accuracies([pair.first for pair in self.pairs]), accuracies([pair.second for pair in self.pairs])


def compare(first: Path, second: Path, protocol: str | None = None) -> tuple[str, int]:
    """Returns lines that say what agrees, and the number of methods that differ and of records that cannot be used.

    Runs are matched by their settings and seed; where a folder has one in two precisions, by precision, too. `protocol`: of this one
    alone. Raises UsageError for what is no folder, RecordError if one has no records, or the two have no run in common.
    """
    for folder in (first, second):
        if not is_folder(folder):
            raise UsageError(f"--compare {short(str(folder))}: must be a results folder")
    one, other = loaded(first, protocol), loaded(second, protocol)
    for folder, found in ((first, one), (second, other)):
        if not found.records:
            raise RecordError(
                f"{folder}: no records" + (f" of {protocol}" if protocol else "") + " to compare; it must be a results folder"
            )
    rows = list(rows_of(one.records, other.records))
    if not any(row.pairs for row in rows):
        raise RecordError(f"{first} and {second}: no run in common, so there is nothing to compare")
    lines, where = [f"A: {first}", f"B: {second}"], ""
    for row in rows:
        if row.where != where:
            where = row.where
            lines += ["", where]
        lines += lines_of(row)
    faults = [f"A: {fault}" for fault in one.faults] + [f"B: {fault}" for fault in other.faults]
    lines += ["", *total(rows), RULE, *faults]
    return "\n".join(lines), sum(row.verdict == "differs" for row in rows) + len(faults)


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


@dataclass(frozen=True)
class Loaded:
    """Records by their place (folder below the results folder, recipe and split), and lines about those that cannot be used."""

    records: dict[str, list[Record]]
    faults: list[str]


def loaded(results: Path, protocol: str | None) -> Loaded:
    records: dict[str, list[Record]] = {}
    faults = []
    for store in stores_below(results):
        below = store.root.parent.relative_to(results).as_posix()
        for name in store.protocols():
            if protocol in (None, name):
                found, wrong, _ = store.load(name)
                faults += wrong
                for record in found:
                    place = f"{name}, recipe {record.identity.recipe}, split {record.identity.split}"
                    records.setdefault(place + ("" if below == "." else f", in {below}/"), []).append(record)
    return Loaded(records, faults)


def rows_of(first: dict[str, list[Record]], second: dict[str, list[Record]]) -> Iterator[Row]:
    """One row a method and setting, in the order of the first folder; what only the second has comes last."""
    for where in dict.fromkeys([*first, *second]):
        groups: list[tuple[list[Record], list[Record]]] = []
        for side, records in enumerate((first.get(where, []), second.get(where, []))):
            for record in records:
                group = next((group for group in groups if same_settings(next(iter(group[0] + group[1])), record)), None)
                if group is None:
                    group = ([], [])
                    groups.append(group)
                group[side].append(record)
        for ours, theirs in groups:
            yield matched(where, ours, theirs)


def same_settings(one: Record, other: Record) -> bool:
    return one.identity.variant == other.identity.variant and one.identity.same_settings(other.identity)


def matched(where: str, ours: Sequence[Record], theirs: Sequence[Record]) -> Row:
    """Pairs the records of one setting by seed, first those that were computed on the same images in the same precision."""
    pairs, ours_left, theirs_left = [], list(ours), list(theirs)
    for exact in (True, False):
        for record in tuple(ours_left):
            match = next((other for other in theirs_left if fits(record, other, exact)), None)
            if match is not None:
                pairs.append(Pair(record, match))
                ours_left.remove(record)
                theirs_left.remove(match)
    pairs.sort(key=lambda pair: pair.first.identity.seed)
    return Row(where, label_of((*ours, *theirs)[0]), pairs, ours_left, theirs_left)


def fits(one: Record, other: Record, exact: bool) -> bool:
    mine, theirs = one.identity, other.identity
    return mine.seed == theirs.seed and (not exact or (mine.images, mine.precision) == (theirs.images, theirs.precision))


def counted(record: Record) -> tuple[object, ...]:
    """What was tested and how much of it was right."""
    return record.order, record.rows_sha256, [(session.correct, session.total) for session in record.sessions]


def accuracies(records: Sequence[Record]) -> Curves:
    return np.array([run_of(record).accuracies for record in records])


def within(first: Curves, second: Curves) -> bool:
    """Whether, after every session, each mean lies inside the other's 95 % interval; False for fewer than three seeds."""
    narrower = np.minimum(half_widths(first), half_widths(second))
    return bool((np.abs(first.mean(axis=0) - second.mean(axis=0)) <= narrower + EQUAL).all())  # NaN, for so few, is never so


def lines_of(row: Row) -> Iterator[str]:
    """A line on the method, and one for each run in both folders whose counts differ."""
    said = []
    if row.pairs:
        runs = Counter(pair.agreement for pair in row.pairs)
        count = sum(runs.values())
        said.append(f"{row.verdict} ({counts_in_words(runs, AGREEMENTS) if len(runs) > 1 else f'{count} run' + 's' * (count > 1)})")
    for name, alone in (("A", row.only_first), ("B", row.only_second)):
        if alone:
            said.append(f"only in {name}: {in_words(record.identity.seed for record in alone)}")
    yield f"  {row.label}: {'; '.join(said)}"
    if row.verdict in ("within intervals", "differs"):
        first, second = row.curves
        gaps = first.mean(axis=0) - second.mean(axis=0)
        far = int(np.abs(gaps).argmax())
        ends = [in_text((float(curve[:, -1].mean()), float(half_widths(curve)[-1]))) for curve in (first, second)]
        yield f"    last accuracy {ends[0]} in A, {ends[1]} in B; means farthest apart in session {far}, A − B {gaps[far]:+.2f}"
    for pair in row.pairs:
        if pair.agreement == "other counts":
            one, other = accuracies([pair.first])[0], accuracies([pair.second])[0]
            begins = next((t for t, (a, b) in enumerate(zip(one, other, strict=True)) if abs(a - b) > EQUAL), None)
            apart = "equal accuracies" if begins is None else f"apart from session {begins} on"
            yield f"    seed {pair.first.identity.seed}: {one[-1]:.2f} in A, {other[-1]:.2f} in B, {apart}{otherwise(pair)}"


def otherwise(pair: Pair) -> str:
    """How the two runs were not the same to begin with."""
    mine, theirs = pair.first.identity, pair.second.identity
    differs = [f"{mine.precision} and {theirs.precision}"] if mine.precision != theirs.precision else []
    differs += ["other images"] if mine.images != theirs.images else []
    return f" ({', '.join(differs)})" if differs else ""


def total(rows: Sequence[Row]) -> Iterator[str]:
    runs = Counter(pair.agreement for row in rows for pair in row.pairs)
    methods = Counter(row.verdict for row in rows if row.verdict is not None)
    alone = [sum(len(getattr(row, side)) for row in rows) for side in ("only_first", "only_second")]
    yield f"Runs: {sum(runs.values())} in both ({counts_in_words(runs, AGREEMENTS)}), {alone[0]} only in A, {alone[1]} only in B."
    yield f"Methods with runs in both: {sum(methods.values())} ({counts_in_words(methods, VERDICTS)})."


def counts_in_words(counts: Counter[Agreement] | Counter[Verdict], words: Sequence[str]) -> str:
    known = {str(word): count for word, count in counts.items()}
    return ", ".join(f"{known[word]} {word}" for word in words if word in known)
