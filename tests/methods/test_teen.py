"""TEEN's equations on three vectors by hand, and its rows in a run."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from methods.parts.features import calibrated, likeness
from methods.teen import Teen
from protocols.schema import Sessions
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


def test_novel_classes_lean_on_base_classes_alone() -> None:
    """A class of session 2 with the mean that one of session 1 had gets the same row: that one's row, its likest, draws nobody."""
    made: Any = object.__new__(Teen)
    made.config, made.context = Teen.Config(shift=0.5, temperature=1.0), SimpleNamespace(sessions=Sessions(base=2, way=1, count=2, shots=1))
    made.model = SimpleNamespace(head=SimpleNamespace(weight=torch.zeros(4, 2)))
    for session, (features, labels) in enumerate(((BASE, [0, 1]), (NEW, [2]), (NEW, [3]))):
        made.session = session
        made.learn(features, torch.tensor(labels))
    length = math.hypot(math.e, 1)
    assert torch.equal(made.rows[:2], BASE)
    assert torch.allclose(made.rows[2:], torch.tensor([[0.5 + 0.5 * math.e / length, 0.5 / length]]))


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
