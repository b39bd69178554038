"""Decides by a rule whether a published row was reproduced: `judge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.metrics import accuracy as metrics
from benchmarks.metrics.statistics import EQUAL, mean_and_half_width
from benchmarks.records.schema import Record
from benchmarks.report.frame import same_answers
from protocols.printed import PublishedRow
from protocols.schema import Backbone, Sessions

BASE_LEVEL = 3.0
"""Largest difference between comparable base accuracies, in points. Published values of one base recipe lie within 2 (CEC's family on
CIFAR-100: 73.1 to 74.9), those of the next recipe 4 or more away (64.1; 79.5). A method that learns nothing keeps half or more of the
difference in the last session."""
LOOSEST = 5.0
"""The widest stated tolerance, in points (docs/methods.md 8.6). A wider interval would accept anything, and a larger gap differs without
any interval."""

Word = Literal["reproduced", "differs", "not comparable", "undecided"]
WORDS: tuple[Word, ...] = ("reproduced", "differs", "not comparable", "undecided")


@dataclass(frozen=True)
class Verdict:
    """A verdict. `gap` is measured minus published last accuracy in points, NaN if none is published."""

    word: Word
    reason: str
    gap: float

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}"


def judge(row: PublishedRow, records: Sequence[Record]) -> Verdict:
    """Compares a published row with the records of one variant, one per seed. Class order and choice of epoch do not matter here.

    Not comparable: another network, pre-training or base level, or a base level that is not printed. Reproduced: the last accuracy is
    within the row's stated tolerance, or inside our 95 % interval. Otherwise it differs, or is undecided if the seeds cannot tell.
    """
    first = [metrics.micro(record.sessions[0].correct, record.sessions[0].total) for record in records]
    last = [metrics.micro(record.sessions[-1].correct, record.sessions[-1].total) for record in records]
    printed, base = row.accuracy[-1], float(np.mean(first))
    mean, width = mean_and_half_width(last)
    several = {1: "; one seed", 2: "; two seeds"}.get(len(records), "")
    if len(records) > 2 and same_answers(records):  # ± 0.00 would be no interval
        width, several = float("nan"), "; all seeds gave the same predictions"
    gap = float("nan") if printed is None else mean - printed
    identity = records[0].identity
    if apart := other_network(row, identity.backbone) or other_base(row, base, identity.sessions):
        left = identity.sessions.base / identity.sessions.classes
        return Verdict("not comparable", apart + above_nothing(row, base, mean, left), gap)
    if printed is None:
        return Verdict("undecided", "its last accuracy is not printed", gap)
    word, reason = by_numbers(gap, row.tolerance, width)
    return Verdict(word, reason + several, gap)


def by_numbers(gap: float, tolerance: float | None, width: float) -> tuple[Word, str]:
    """Word and reason by the rule for comparable rows. `width` is NaN for fewer than three seeds."""
    off = abs(gap)
    if tolerance is not None and off <= tolerance + EQUAL:
        return "reproduced", f"within the stated ± {tolerance:.1f}"
    if off <= width + EQUAL:
        return ("reproduced", f"inside ± {width:.2f}") if width <= LOOSEST else ("undecided", f"inside ± {width:.2f}, too wide to tell")
    bounds = ([] if np.isnan(width) else [f"± {width:.2f}"]) + ([] if tolerance is None else [f"the stated ± {tolerance:.1f}"])
    if bounds or off > LOOSEST + EQUAL:
        return "differs", f"{gap:+.2f}, " + (f"outside {' and '.join(bounds)}" if bounds else f"beyond any tolerance (± {LOOSEST:.1f})")
    return "undecided", f"{gap:+.2f}, neither an interval nor a stated tolerance"


def other_network(row: PublishedRow, backbone: Backbone) -> str:
    """Text such as `resnet12, here resnet20`; empty if network and pre-training are the same."""
    if backbone.name == "identity":
        return f"{row.backbone}, here stored features"
    if row.backbone != backbone.name:
        return f"{row.backbone}, here {backbone.name}"
    here, there = backbone.pretrained, row.pretrained
    return "" if here == there else f"{'from scratch' if there is None else f'from {there}'}, here {here or 'from scratch'}"


def other_base(row: PublishedRow, base: float, sessions: Sessions) -> str:
    """Text such as `base 74.55, here 63.60`; empty if the base accuracies are of one level, or if all sessions bring all images,
    because base accuracy does not dominate the last accuracy there."""
    printed = row.base_accuracy
    if len(row.accuracy) == 1 or (printed is None and sessions.shots == "all"):
        return ""
    if printed is None:
        return f"base not printed, here {base:.2f}"
    return "" if abs(base - printed) <= BASE_LEVEL + EQUAL else f"base {printed:.2f}, here {base:.2f}"


def above_nothing(row: PublishedRow, base: float, last: float, left: float) -> str:
    """Text with the last accuracies beyond A_0 * |base| / |seen|, to be compared if base accuracies differ (docs/methods.md 8.6).

    `left` is |base| / |seen|.
    """
    if row.base_accuracy is None or row.accuracy[-1] is None:
        return ""
    return f"; above doing nothing {row.accuracy[-1] - row.base_accuracy * left:+.2f}, here {last - base * left:+.2f}"
