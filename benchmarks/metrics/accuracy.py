"""Accuracies from per-class counts (methods.md section 2). All in percent; every variant follows from the same counts.

`correct` and `total` are integer arrays over the labels seen, in order of arrival; `base` is how many of them are base
classes. The prediction behind them is the argmax over all classes seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from protocols.schema import Sessions


def micro(correct: Iterable[int], total: Iterable[int]) -> float:
    """Share of test images answered rightly: the suite's accuracy. NaN over no image."""
    images = float(sum(total))  # Python's sum: a report asks a hundred thousand times, for short tuples
    return 100.0 * float(sum(correct)) / images if images else float("nan")


def macro(correct: ArrayLike, total: ArrayLike) -> float:
    """Mean of the classes' accuracies (TEEN, OrCo)."""
    return 100.0 * float(np.mean(np.asarray(correct) / np.asarray(total)))


def base_accuracy(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Accuracy on test images of base classes, argmax over all seen."""
    return micro(correct[:base], total[:base])


def novel_accuracy(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Accuracy on test images of all novel classes, argmax over all seen; NaN in session 0."""
    return micro(correct[base:], total[base:])


def session_accuracies(sessions: Sessions, correct: Sequence[int], total: Sequence[int]) -> list[float]:
    """Accuracy on the classes that each session so far has brought: one row of the accuracy matrix."""
    spans = [span for number in range(sessions.count + 1) if (span := sessions.span(number)).stop <= len(total)]
    return [micro(correct[span.start : span.stop], total[span.start : span.stop]) for span in spans]


def class_count(correct: Sequence[int], total: Sequence[int], old: int) -> float:
    """TOPIC's and LEC's weighting: micro inside old and new classes, averaged by their number of classes."""
    new = len(total) - old
    if not new or not old:
        return micro(correct, total)
    return (micro(correct[:old], total[:old]) * old + micro(correct[old:], total[old:]) * new) / (old + new)


def harmonic(first: float, second: float) -> float:
    """2ab / (a + b); 0 where both are 0, NaN where either is."""
    if np.isnan(first) or np.isnan(second):
        return float("nan")
    return 2 * first * second / (first + second) if first + second else 0.0


def harmonic_mean(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Of base and novel accuracy (micro); NaN in session 0."""
    return harmonic(base_accuracy(correct, total, base), novel_accuracy(correct, total, base))


def hm_base_novel_macro(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Of base and novel accuracy, each a mean over classes (TEEN, OrCo); NaN in session 0."""
    return harmonic(macro(correct[:base], total[:base]), macro(correct[base:], total[base:])) if len(total) > base else float("nan")


def hm_old_new_micro(correct: Sequence[int], total: Sequence[int], old: int) -> float:
    """Of the accuracies on all classes from before the session and on its own (FSCIL-Calibration); NaN in session 0, where `old` is 0."""
    return harmonic(micro(correct[:old], total[:old]), micro(correct[old:], total[old:]))


def knowledge_retention(accuracies: Sequence[float]) -> float:
    """KR: accuracy of the last session over that of session 0, in percent; 0 where session 0 has nothing to retain."""
    return 100 * accuracies[-1] / accuracies[0] if accuracies[0] else 0.0


def generalised_accuracy(group_accuracies: Sequence[Sequence[float]], base: int, way: int) -> float:
    """gAcc (Revisiting FSCIL): mean over sessions of (alpha B + sum of novel sessions' accuracies) / (their number + alpha), as an area
    over alpha from 0 to round(base / way), by trapezoids, divided by that range.

    At alpha 0 the base counts for nothing, session 0 as 0; at the end as much as its classes do. `group_accuracies` as in `forgetting`.
    """
    most = max(1, round(base / way))

    def at(alpha: int) -> float:
        weighed = [(alpha * row[0] + sum(row[1:])) / (len(row) - 1 + alpha) if len(row) - 1 + alpha else 0.0 for row in group_accuracies]
        return float(np.mean(weighed))

    values = [at(alpha) for alpha in range(most + 1)]
    return (sum(values) - (values[0] + values[-1]) / 2) / most


def performance_drop(accuracies: Sequence[float]) -> float:
    """PD: accuracy of session 0 minus that of the last session, in points."""
    return accuracies[0] - accuracies[-1]


def forgetting(group_accuracies: Sequence[Sequence[float]]) -> float:
    """Mean over session groups j < T of their best earlier accuracy minus their final one.

    `group_accuracies[t][j]` is the accuracy after session t on the classes that session j brought, j <= t.
    """
    last = len(group_accuracies) - 1
    if last < 1:
        return float("nan")
    drops = [max(group_accuracies[t][j] for t in range(j, last)) - group_accuracies[last][j] for j in range(last)]
    return float(np.mean(drops))


def sampling_half_width(accuracy: float, images: int) -> float:
    """95 % half-width that the finite test set alone puts on an accuracy (normal approximation), in points."""
    p = accuracy / 100
    return 100 * 1.96 * float(np.sqrt(p * (1 - p) / images))
