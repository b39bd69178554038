"""GKEAL's kernel by hand, its centres, and a run."""

from __future__ import annotations

import math
from typing import Any

import torch

from methods.gkeal import Gkeal
from tests.methods.conftest import Enter
from tests.methods.runs import train_all
from tests.methods.test_ranpac import learner, teach


def test_the_kernel_and_its_ridge_by_hand() -> None:
    """Distances 0 and 5 at sigma 5: 1 and exp(-1/2), in double precision. Two centres, two classes: G = K'K, gamma .1 is added to it."""
    made = teach(learner(Gkeal, Gkeal.Config(sigma=5.0)), 0, [[0.0, 0.0], [3.0, 4.0]], [0, 1])
    kernel = torch.tensor([[1.0, math.exp(-0.5)], [math.exp(-0.5), 1.0]], dtype=torch.float64)
    order = [0, 1] if torch.equal(made.centres[0], torch.zeros(2)) else [1, 0]
    assert torch.allclose(made.hidden(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))[:, order], kernel)
    expected = torch.linalg.solve(kernel @ kernel + 0.1 * torch.eye(2), kernel)
    assert torch.allclose(made.solution[order], expected)


def test_centres_are_base_features_at_most_all_of_them_and_stay() -> None:
    base = [[float(i), 0.0] for i in range(6)]
    few, all_of_them = (teach(learner(Gkeal, Gkeal.Config(centres=most)), 0, base, [0, 1] * 3) for most in (4, 8192))
    assert len({x for x, _ in few.centres.tolist()} & set(range(6))) == 4
    assert sorted(x for x, _ in all_of_them.centres.tolist()) == list(range(6))
    before = few.centres.clone()
    assert torch.equal(teach(few, 1, [[9.0, 9.0]], [2]).centres, before)


def test_a_run(enter: Enter) -> None:
    """The balanced form learns more of the novel classes: 5 shots against many."""
    right = {}
    for variant in ("gkeal", "gkeal:balanced"):
        contender = train_all(enter(variant))
        s: Any = contender.strategy
        assert (s.centres.shape[0], s.ridge, s.solution.shape) == (80, 0.1, (80, 10))
        right[variant] = sum(contender.test(2).correct[6:])
    assert right["gkeal:balanced"] > right["gkeal"]
