"""Accuracies in percent, all computed from per-class counts (docs/methods.md section 2).

`correct` and `total` hold, per class seen, in order of arrival, the number of correctly predicted and of all test images; `base` is
the number of base classes. The prediction is the argmax over all classes seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from protocols.schema import Sessions


def micro(correct: Iterable[int], total: Iterable[int]) -> float:
    """Percentage of test images predicted correctly: the suite's accuracy. NaN if there are no images."""
    images = float(sum(total))  # Python's sum: a report calls this a hundred thousand times on short tuples
    return 100.0 * float(sum(correct)) / images if images else float("nan")


def macro(correct: ArrayLike, total: ArrayLike) -> float:
    """Mean of the per-class accuracies (TEEN, OrCo)."""
    return 100.0 * float(np.mean(np.asarray(correct) / np.asarray(total)))


def base_accuracy(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Accuracy on test images of base classes, argmax over all classes seen."""
    return micro(correct[:base], total[:base])


def novel_accuracy(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Accuracy on test images of all novel classes, argmax over all classes seen; NaN in session 0."""
    return micro(correct[base:], total[base:])


def session_accuracies(sessions: Sessions, correct: Sequence[int], total: Sequence[int]) -> list[float]:
    """Accuracy on the classes of each session so far: one row of the accuracy matrix."""
    spans = [span for number in range(sessions.count + 1) if (span := sessions.span(number)).stop <= len(total)]
    return [micro(correct[span.start : span.stop], total[span.start : span.stop]) for span in spans]


def class_count(correct: Sequence[int], total: Sequence[int], old: int) -> float:
    """Mean of the micro accuracies on old and on new classes, weighted by their numbers of classes (TOPIC, LEC-Net)."""
    new = len(total) - old
    if not new or not old:
        return micro(correct, total)
    return (micro(correct[:old], total[:old]) * old + micro(correct[old:], total[old:]) * new) / (old + new)


def harmonic(first: float, second: float) -> float:
    """Harmonic mean 2ab / (a + b); 0 if both are 0, NaN if either is NaN."""
    if np.isnan(first) or np.isnan(second):
        return float("nan")
    return 2 * first * second / (first + second) if first + second else 0.0


def harmonic_mean(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Harmonic mean of base and novel accuracy (micro); NaN in session 0."""
    return harmonic(base_accuracy(correct, total, base), novel_accuracy(correct, total, base))


def hm_base_novel_macro(correct: Sequence[int], total: Sequence[int], base: int) -> float:
    """Harmonic mean of base and novel accuracy, each macro (TEEN, OrCo); NaN in session 0."""
    return harmonic(macro(correct[:base], total[:base]), macro(correct[base:], total[base:])) if len(total) > base else float("nan")


def hm_old_new_micro(correct: Sequence[int], total: Sequence[int], old: int) -> float:
    """Harmonic mean of micro accuracy on the `old` earlier classes and on the session's own (FSCIL-Calibration); NaN if `old` is 0."""
    return harmonic(micro(correct[:old], total[:old]), micro(correct[old:], total[old:]))


def knowledge_retention(accuracies: Sequence[float]) -> float:
    """KR: accuracy of the last session divided by that of session 0, in percent; 0 if the accuracy of session 0 is 0."""
    return 100 * accuracies[-1] / accuracies[0] if accuracies[0] else 0.0


def generalised_accuracy(group_accuracies: Sequence[Sequence[float]], base: int, way: int) -> float:
    """gAcc (Revisiting FSCIL): the mean over alpha from 0 to round(base / way), by the trapezoidal rule, of
    the mean over sessions of (alpha B + sum of the novel sessions' accuracies) / (number of novel sessions + alpha).

    B is the base accuracy. At alpha 0 the base has no weight and session 0 counts as 0; at the largest alpha the base is weighted by
    its number of classes. `group_accuracies` is as in `forgetting`.
    """
    most = max(1, round(base / way))

    def at(alpha: int) -> float:
        weighed = [(alpha * row[0] + sum(row[1:])) / (len(row) - 1 + alpha) if len(row) - 1 + alpha else 0.0 for row in group_accuracies]
        return float(np.mean(weighed))

    values = [at(alpha) for alpha in range(most + 1)]
    return (sum(values) - (values[0] + values[-1]) / 2) / most


def performance_drop(accuracies: Sequence[float]) -> float:
    """PD: accuracy of session 0 minus that of the last session, in percentage points."""
    return accuracies[0] - accuracies[-1]


def forgetting(group_accuracies: Sequence[Sequence[float]]) -> float:
    """Mean over sessions j < T (T: the last) of the best earlier accuracy on their classes minus the final one; NaN for one session.

    `group_accuracies[t][j]` is the accuracy after session t on the classes of session j, j <= t.
    """
    last = len(group_accuracies) - 1
    if last < 1:
        return float("nan")
    drops = [max(group_accuracies[t][j] for t in range(j, last)) - group_accuracies[last][j] for j in range(last)]
    return float(np.mean(drops))


def sampling_half_width(accuracy: float, images: int) -> float:
    """Half-width of the 95 % interval of an accuracy due to the finite test set alone (normal approximation), in percentage points."""
    p = accuracy / 100
    return 100 * 1.96 * float(np.sqrt(p * (1 - p) / images))
