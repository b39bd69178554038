"""RanPAC, C-RanPAC and the ridge regression below them: sums, choice of lambda, weights of classes, Gaussians, by hand; and in a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.families.ridge import Ridge, RidgeConfig
from methods.parts.features import gaussian_samples
from methods.parts.ridge import held_out_errors, with_ridge
from methods.ranpac import RanPac
from tests.methods.by_hand import teach
from tests.methods.conftest import Enter
from tests.methods.runs import train_all

D = torch.float64


class Plain(Ridge):
    """h(x) = x."""

    def hidden(self, features: Tensor) -> Tensor:
        return features.double()


def learner(kind: type[Ridge], config: RidgeConfig, base: int = 2) -> Any:
    """One that knows its configuration and how many classes there are, and nothing else of a strategy."""
    made: Any = object.__new__(kind)
    made.config, made.session = config, 0
    made.context = SimpleNamespace(sessions=SimpleNamespace(span=lambda session: range(base * bool(session), base + session)))
    return made


def test_the_solution_by_hand_and_over_sessions() -> None:
    """G = diag(4, 1), Q = diag(2, 1): lambda 1 gives 2/5 and 1/2. A third class at (0, 2) makes G = diag(4, 5)."""
    made = teach(learner(Plain, RidgeConfig(ridge=1.0)), 0, [[2.0, 0.0], [0.0, 1.0]], [0, 1])
    assert torch.allclose(made.solution, torch.tensor([[0.4, 0.0], [0.0, 0.5]], dtype=D))
    teach(made, 1, [[0.0, 2.0]], [2])
    assert torch.allclose(made.gram, torch.diag(torch.tensor([4.0, 5.0], dtype=D)))
    assert torch.allclose(made.solution, torch.tensor([[0.4, 0.0, 0.0], [0.0, 1 / 6, 2 / 6]], dtype=D))
    assert torch.allclose(made.scores(torch.tensor([[1.0, 3.0]])), torch.tensor([[0.4, 0.5, 1.0]], dtype=D))


def test_many_images_in_pieces_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(20, 3), torch.arange(20) % 2
    whole = teach(learner(Plain, RidgeConfig(ridge=1.0)), 0, x.tolist(), y.tolist())
    monkeypatch.setattr("methods.families.ridge.CHUNK", 3)
    assert torch.allclose(teach(learner(Plain, RidgeConfig(ridge=1.0)), 0, x.tolist(), y.tolist()).solution, whole.solution)


def test_per_class_a_shot_weighs_as_much_as_a_base_class() -> None:
    """Ten base images a class of two, one shot at the first class's place: 10:1 decides against it, 10:10 for neither."""
    base = [[1.0, 0.0]] * 10 + [[0.0, 1.0]] * 10
    found = {}
    for per_class in (False, True):
        made = teach(learner(Plain, RidgeConfig(ridge=1e-6, per_class=per_class)), 0, base, [0] * 10 + [1] * 10)
        alone = made.solution.clone()
        found[per_class] = teach(made, 1, [[1.0, 0.0]], [2]).scores(torch.tensor([[1.0, 0.0]]))[0]
        assert torch.allclose(alone, torch.eye(2, dtype=D), atol=1e-5), "base classes of one size weigh what they weigh anyway"
    assert torch.allclose(found[False], torch.tensor([10 / 11, 0, 1 / 11], dtype=D), atol=1e-5)
    assert torch.allclose(found[True], torch.tensor([0.5, 0, 0.5], dtype=D), atol=1e-5)


def test_the_error_of_held_out_images_follows_from_the_sums() -> None:
    """Against the residuals themselves; a ridge that leaves a singular matrix is never the best."""
    torch.manual_seed(0)
    h, y, more, of_more = torch.randn(9, 3, dtype=D), torch.randn(9, 2, dtype=D), torch.randn(4, 3, dtype=D), torch.randn(4, 2, dtype=D)
    ridges = [0.1, 10.0]
    errors = held_out_errors(h.T @ h, h.T @ y, more.T @ more, more.T @ of_more, ridges) + of_more.square().sum()
    for ridge, error in zip(ridges, errors, strict=True):
        solution = torch.linalg.solve(with_ridge(h.T @ h, ridge), h.T @ y)
        assert torch.isclose(error, (more @ solution - of_more).square().sum())
    singular = torch.zeros(2, 2, dtype=D)
    assert torch.isinf(held_out_errors(singular, singular, singular, singular, [0.0]))[0]


def test_lambda_is_chosen_in_session_0_and_held() -> None:
    """Five equal shots would choose the smallest that there is; and a fixed one is not chosen at all."""
    torch.manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.nn.functional.one_hot(y, 2) + 0.1 * torch.randn(200, 2)
    shots = [[100.0, 0.0]] * 5
    held, anew = (learner(Plain, RidgeConfig(every_session=every)) for every in (False, True))
    chosen = {}
    for name, made in (("held", held), ("anew", anew)):
        torch.manual_seed(1)
        chosen[name] = [teach(made, 0, x.tolist(), y.tolist()).ridge, teach(made, 1, shots, [2] * 5).ridge]
    assert chosen["held"][0] == chosen["held"][1] == chosen["anew"][0] >= 0.1
    assert chosen["anew"][1] < 0.01
    assert teach(learner(Plain, RidgeConfig(ridge=3.0)), 0, x.tolist(), y.tolist()).session_log() == {"ridge": 3.0}
    limited = teach(learner(Plain, RidgeConfig(lowest=3)), 0, x.tolist(), y.tolist())
    assert limited.ridge == 1e3, "C-RanPAC's list begins higher"
    with pytest.raises(ValueError, match="lowest must not exceed highest"):
        RidgeConfig(lowest=2, highest=1)


def test_samples_have_the_mean_and_the_covariance() -> None:
    """A singular one too: no draw leaves the line."""
    torch.manual_seed(0)
    means = torch.tensor([[1.0, -2.0], [0.0, 5.0]], dtype=D)
    covariances = torch.tensor([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]], dtype=D)
    drawn = gaussian_samples(means, covariances, 20_000).view(2, 20_000, 2)
    assert torch.allclose(drawn.mean(1), means, atol=0.05)
    assert torch.allclose(torch.stack([own.T.cov() for own in drawn]), covariances, atol=0.1)
    assert torch.allclose(drawn[1, :, 1] - drawn[1, :, 0], torch.tensor(5.0, dtype=D), atol=1e-6)


def test_c_ranpac_leans_on_base_classes_by_the_dot_product() -> None:
    """Base means (3, 0) and (0, 1), shots (1, 2) +- (0, 1): dot products 3 and 2, temperature 1, weights e/(e+1) and 1/(e+1) (their cosines
    would prefer the second). Covariances (0, 2; second dimension) and (2, 0; first)."""
    config = RanPac.Config(calibrate=True, width=4, ridge=1.0, temperature=1.0, shift=0.5, borrowed=0.5, samples=40_000)
    made = learner(RanPac, config)
    teach(made, 0, [[3.0, 1.0], [3.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], [0, 0, 1, 1])
    made.session = 1
    torch.manual_seed(0)
    drawn, labels = made.drawn(torch.tensor([[1.0, 1.0], [1.0, 3.0]], dtype=D), torch.tensor([2, 2]))
    w = torch.tensor([1.0, 0.0]).softmax(0)
    assert torch.allclose(drawn.mean(0), torch.tensor([(1 + 3 * w[0]) / 2, (2 + w[1]) / 2], dtype=D), atol=0.03)
    assert torch.allclose(drawn.T.cov(), torch.diag(torch.tensor([w[1], 1 + w[0]], dtype=D)), atol=0.05)
    assert labels.tolist() == [2] * 40_000


def test_random_features_and_both_rules_of_prediction() -> None:
    """W = (1, -1): h(2, 1) = (1, 0), its negative is cut off. By cosine the length of a class's column does not count."""
    made = learner(RanPac, RanPac.Config(width=2))
    made.projection = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    made.solution = torch.tensor([[4.0, 0.5], [3.0, 0.0]], dtype=D)
    x = torch.tensor([[2.0, 1.0], [4.0, 2.0]])
    assert torch.equal(made.hidden(x), torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=D))
    assert torch.equal(made.scores(x), torch.tensor([[4.0, 0.5], [8.0, 1.0]], dtype=D))
    made.config = RanPac.Config(width=2, cosine=True)
    assert torch.allclose(made.scores(x), torch.tensor([[0.8, 1.0], [0.8, 1.0]], dtype=D))


def test_a_run_holds_lambda_and_keeps_no_hidden_features(enter: Enter) -> None:
    for variant in ("ranpac", "ranpac:calibrated", "ranpac:balanced"):
        contender = train_all(enter(variant, "width=30", "samples=50"))
        s: Any = contender.strategy
        assert (s.gram.shape, s.cross.shape, s.solution.shape) == ((30, 30), (30, 10), (30, 10))
        assert ("base_covariances" in vars(s)) == (variant == "ranpac:calibrated")
        assert len(contender.test(2).predictions) > 0
