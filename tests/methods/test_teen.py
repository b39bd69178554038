"""TEEN's equations on three vectors by hand, and its rows in a run."""

from __future__ import annotations

import math

import numpy as np
import torch

from methods.parts.features import calibrated, likeness
from tests.methods.conftest import Enter

BASE = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
NEW = torch.tensor([[4.0, 0.0]])


def test_a_novel_class_leans_on_the_base_classes_that_it_resembles() -> None:
    """Cosines 1 and 0, temperature 1: weights e/(e+1) and 1/(e+1), whatever the lengths."""
    weights = likeness(NEW, BASE, 1.0)
    assert torch.allclose(weights, torch.tensor([[math.e / (math.e + 1), 1 / (math.e + 1)]]))


def test_equation_4_by_hand() -> None:
    """Half of (1, 0), and half of the unit vector along (e, 1): lengths of the means do not matter, the mix is scaled to one first."""
    length = math.hypot(math.e, 1)
    expected = torch.tensor([[0.5 + 0.5 * math.e / length, 0.5 / length]])
    assert torch.allclose(calibrated(NEW, BASE, 0.5, 1.0), expected)
    assert torch.allclose(calibrated(5 * NEW, 7 * BASE, 0.5, 1.0), expected)
    assert torch.allclose(calibrated(NEW, BASE, 0.0, 16.0), torch.tensor([[1.0, 0.0]])), "without a shift the prototype stays"


def test_base_rows_are_means_and_novel_rows_are_calibrated_once(enter: Enter) -> None:
    """With shift 0 TEEN predicts as Proto on the same base; with a shift only novel rows move, and in later sessions no more."""
    teen, still, proto = enter("teen"), enter("teen", "shift=0"), enter("proto@cosine")
    for contender in (teen, still, proto):
        for session in range(3):
            contender.train(session, 0)
            if session == 1:
                after_first = teen.strategy.rows.clone()
    base = proto.strategy.context.sessions.base
    assert torch.equal(teen.strategy.rows[:base], proto.strategy.model.head.weight.data[:base])
    assert torch.equal(teen.strategy.rows[: len(after_first)], after_first)
    assert np.array_equal(still.test(2).predictions, proto.test(2).predictions)
    assert not torch.equal(teen.strategy.scores(after_first), still.strategy.scores(after_first))
