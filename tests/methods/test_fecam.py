"""FeCAM's and C-FeCAM's equations by hand in two and three dimensions, and a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.fecam import FeCam
from methods.parts.features import class_covariances, correlation, row_covariances, shrunk
from tests.methods.by_hand import teach
from tests.methods.conftest import Enter
from tests.methods.runs import train_all

D = torch.float64
COVARIANCE = torch.tensor([[[4.0, 1.0, 0.0], [1.0, 1.0, 0.5], [0.0, 0.5, 1.0]]], dtype=D)
BASE = [[4.0, 1.0], [1.0, 4.0], [9.0, 4.0], [4.0, 9.0], [16.0, 0.0], [16.0, 4.0]]


def learner(**changes: Any) -> Any:
    made: Any = object.__new__(FeCam)
    made.config, made.session = FeCam.Config(**changes), 0
    made.context = SimpleNamespace(sessions=SimpleNamespace(base=2))
    made.model = SimpleNamespace(head=SimpleNamespace(weight=torch.tensor([[1.0, 0.0], [0.0, 2.0]])))
    return made


def by_hand(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Minus the squared distance of the unit vectors, under the correlations of a covariance [d, d]."""
    deviations = covariance.diagonal().sqrt()
    off = x / x.norm() - mean / mean.norm()
    return -off @ torch.linalg.inv(covariance / torch.outer(deviations, deviations)) @ off


def test_shrinkage_by_hand() -> None:
    """Mean variance 2; the mean covariance is of the two pairs that are not zero: (1 + .5) / 2 = .75, and is added to all pairs."""
    expected = torch.tensor([[[6.0, 1.75, 0.75], [1.75, 3.0, 1.25], [0.75, 1.25, 3.0]]], dtype=D)
    assert torch.allclose(shrunk(COVARIANCE, 1.0, 1.0), expected)
    assert torch.allclose(shrunk(COVARIANCE, 0.5, 0.0), COVARIANCE + torch.eye(3))
    assert not shrunk(torch.zeros(1, 3, 3), 1.0, 1.0).any(), "of one image: nothing to share out, and no division by zero"


def test_correlations_by_hand_and_without_variance() -> None:
    expected = torch.tensor([[[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]], dtype=D)
    assert torch.allclose(correlation(COVARIANCE), expected)
    for dtype in (torch.float32, D):
        assert torch.equal(correlation(torch.zeros(1, 2, 2, dtype=dtype)), torch.eye(2, dtype=dtype)[None])


def test_the_released_form_correlates_rows() -> None:
    """As torch.corrcoef of the matrix; with a large ridge its off-diagonals are no correlations of the features at all."""
    rows = correlation(row_covariances(COVARIANCE))[0]
    assert torch.allclose(rows, torch.corrcoef(COVARIANCE[0]))
    far = correlation(row_covariances(COVARIANCE + 100 * torch.eye(3)))[0]
    proper = correlation(COVARIANCE + 100 * torch.eye(3))[0]
    assert far[0, 2] < -0.4 and abs(proper[0, 2]) < 0.01
    made = learner(correlation="rows", ridge=100.0, shrinkages=0, power=1.0)
    assert torch.allclose(made.inverted(COVARIANCE)[0], torch.linalg.pinv(far)), "singular: it needs the pseudo-inverse"


def test_a_novel_class_by_hand_tukey_shrinkage_twice_and_difference_of_unit_vectors() -> None:
    """The covariance is that of the roots, the mean is the root of the mean."""
    made = teach(teach(learner(), 0, BASE[:4], [0, 0, 1, 1]), 1, BASE[4:], [2, 2])
    roots = torch.tensor(BASE[4:], dtype=D).sqrt()
    covariance = shrunk(shrunk(torch.from_numpy(np.cov(roots.numpy().T))[None], 1, 1), 1, 1)[0]
    x = torch.tensor([[1.0, 9.0], [25.0, 1.0]])
    expected = torch.stack([by_hand(one.double().sqrt(), torch.tensor([16.0, 2.0], dtype=D).sqrt(), covariance) for one in x])
    assert torch.allclose(made.scores(x)[:, 2], expected)
    assert torch.allclose(made.scores(3 * x), made.scores(x)), "an image's length does not count"
    assert torch.allclose(made.scores(x[:1]), made.scores(x)[:1], atol=1e-12)


def test_session_0_is_the_plain_distance_to_the_trained_rows() -> None:
    """|(3, 4)/5 - (1, 0)|^2 = .8 and |... - (0, 1)|^2 = .4, without Tukey; under `mahalanobis` the means decide."""
    x = torch.tensor([[3.0, 4.0]])
    assert torch.allclose(teach(learner(), 0, BASE[:4], [0, 0, 1, 1]).scores(x), torch.tensor([[-0.8, -0.4]]))
    other = teach(learner(session_0="mahalanobis"), 0, BASE[:4], [0, 0, 1, 1]).scores(x)
    assert not torch.allclose(other.float(), torch.tensor([[-0.8, -0.4]]), atol=0.1)


def test_calibrated_covariances_and_means_by_hand() -> None:
    """Two base classes at (1, 0) and (0, 1), temperature 1, a novel one at (2, 0): weights e/(e+1), 1/(e+1) of their covariances, plus its
    own, times beta; the mean is TEEN's."""
    made = learner(**(FeCam.presets["calibrated"] | {"ridge": 1.0, "temperature": 1.0, "shift": 0.5, "beta": 2.0}))
    base = [[1.0, 1.0], [1.0, -1.0], [2.0, 1.0], [-2.0, 1.0]]
    shots = [[2.0, 3.0], [2.0, -3.0]]
    teach(teach(made, 0, base, [0, 0, 1, 1]), 1, shots, [2, 2])
    first, second, own = class_covariances(torch.tensor(base + shots, dtype=D), torch.tensor([0, 0, 1, 1, 2, 2]))
    w = torch.tensor([1.0, 0.0], dtype=D).softmax(0)
    towards = w / w.norm()
    mean = 0.5 * torch.tensor([1.0, 0.0], dtype=D) + 0.5 * towards
    x = torch.tensor([[1.0, 2.0]])
    expected = by_hand(x[0].double(), mean, 2 * (w[0] * first + w[1] * second + own) + torch.eye(2))
    assert torch.allclose(made.scores(x)[0, 2], expected, atol=1e-6)


def test_a_run_keeps_one_matrix_a_class(enter: Enter) -> None:
    for variant, kept in (("fecam", 10), ("fecam:calibrated", 16), ("fecam:calibrated_cnn", 16)):
        contender = train_all(enter(variant))
        s: Any = contender.strategy
        d = s.model.feature_dim
        assert s.inverses.shape == (10, d, d)
        assert sum(value.numel() for value in vars(s).values() if isinstance(value, Tensor) and value.dim() == 3) == kept * d * d
        assert len(contender.test(2).predictions) > 0
