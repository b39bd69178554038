"""LEC-Net's equations on hand-computed tensors, and the ambiguities of docs/methods.md 5.5 that this release settles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.lecnet import LecConfig, LecNet
from methods.parts.expansion import ExpandingHead
from methods.parts.losses import distillation
from tests.methods.lec import D, experience, loss_of, network, part


def head_after(sessions: int, projected: bool = False, **config: object) -> ExpandingHead:
    """A head with 3 base classes and two classes for each further session, in training mode."""
    head = ExpandingHead(network(projected=projected), LecConfig(**config)).train()
    for session in range(1, sessions + 1):
        head.adaptation(experience(session))
    return head


def by_hand(v: Tensor, weight: Tensor) -> Tensor:
    """V n(v) written out."""
    rows = [
        [sum(float(w) * float(x) for w, x in zip(row, f, strict=True)) / math.sqrt(sum(float(x) ** 2 for x in f)) for row in weight]
        for f in v
    ]
    return torch.tensor(rows)


def test_base_logits_survive_adoption_on_the_shared_base() -> None:
    """F1 starts as the identity where the base has none, so the base accuracy is everybody's."""
    net = network()
    x = torch.randn(5, D)
    expected = net.classify(x)
    head = ExpandingHead(net, LecConfig())
    assert torch.equal(head.projection.weight, torch.eye(D))
    assert torch.allclose(head(x), expected)


def test_base_logits_survive_adoption_of_a_trained_projection() -> None:
    net = network(projected=True)
    x = torch.randn(5, D)
    expected = net.classify(x)
    assert torch.allclose(ExpandingHead(net, LecConfig())(x), expected)


def test_gate_is_the_sigmoid_of_beta_times_the_batch_mean() -> None:
    """Eq. 6 with no. 9: mean over the batch first, one vector for the batch."""
    head = head_after(1)
    x = torch.randn(6, D)
    head.branches[0].data.normal_()
    head.beta = 3.0
    head(x)
    gate = head.alpha.tolist()
    for node in range(D):
        mean = sum(float(head.branches[0][node].detach() @ row) for row in x) / 6
        assert gate[node] == pytest.approx(1 / (1 + math.exp(-3.0 * mean)), rel=1e-4)


def test_fusion_is_gamma_old_plus_gated_new() -> None:
    """Eq. 4, fusion plus (no. 7): z_1 = V_1 n(gamma F1 x + alpha * A_1 x); z_0 sees no branch (no. 14)."""
    head = head_after(1, gamma=0.6)
    head.branches[0].data.normal_()
    x = torch.randn(2, D)
    logits = head(x)
    h, a = x @ head.projection.weight.T, x @ head.branches[0].T
    assert torch.allclose(logits[:, :3], by_hand(h, part(head, 0).weight), atol=1e-5)
    assert torch.allclose(logits[:, 3:], by_hand(0.6 * h + head.alpha * a, part(head, 1).weight), atol=1e-5)


def test_test_time_uses_the_stored_gate_whatever_the_batch() -> None:
    """No. 11, trap 15: nothing is computed from test images; one image or a hundred give the same logits."""
    head = head_after(1)
    head.branches[0].data.normal_()
    head(torch.randn(6, D))
    head.store_gate()
    head.eval()
    x = torch.randn(8, D)
    assert torch.allclose(head(x), torch.cat([head(row[None]) for row in x]), atol=1e-6)


def test_without_storing_the_branch_is_switched_off() -> None:
    """The release's trap: its buffer is zero until `finish_train`, so an early evaluation sees no branch."""
    head = head_after(1, gamma=1.0)
    head.branches[0].data.normal_()
    x = torch.randn(3, D)
    head(x)
    head.eval()
    assert torch.allclose(head(x)[:, 3:], by_hand(x, part(head, 1).weight), atol=1e-5)


def test_a_new_branch_leaves_old_logits_alone() -> None:
    head = head_after(1)
    x = torch.randn(3, D)
    head(x)
    head.store_gate()
    head.eval()
    before = head(x)
    head.train()
    head.adaptation(experience(2))
    head(x)
    head.store_gate()
    head.eval()
    assert head(x).shape == (3, 7)
    assert torch.allclose(head(x)[:, :5], before)


def test_branch_initialisation_of_the_two_presets() -> None:
    """No. 1: `paper` starts at alpha = .5 (appendix: f' = 0 + eps); `code` draws as torch's Linear does."""
    x = torch.rand(25, D)
    small, large = head_after(1), head_after(1, branch_init_std=None)
    small(x), large(x)
    assert torch.allclose(small.alpha, torch.full((D,), 0.5), atol=2e-3)
    assert float((large.alpha - 0.5).abs().max()) > 0.01


@pytest.mark.parametrize(("shared", "expected"), [(False, 3), (True, 1)])
def test_tau_is_per_session_or_shared(shared: bool, expected: int) -> None:
    """No. 5."""
    assert len(head_after(3, tau_shared=shared).taus) == expected


def strategy(config: LecConfig, head: ExpandingHead) -> LecNet:
    """A strategy with just enough around it to compute its loss."""
    lec = LecNet.__new__(LecNet)
    lec.config = config
    lec.model = nn.Module()
    lec.model.head = head
    lec.right, lec.shown = torch.zeros((), dtype=torch.int64), 0
    return lec


def ratio_gradients(tau: float, alpha: float) -> tuple[float, float]:
    """Gradients of ratio_weight * ReLU(mean alpha - tau) with respect to tau and to one alpha_i."""
    head = head_after(1, tau_init=tau)
    lec = strategy(LecConfig(distill_weight=0.0, ratio_weight=0.1), head)
    head.alpha = torch.full((D,), alpha, requires_grad=True)
    loss_of(lec, torch.zeros(1, 5), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3)).backward()
    assert head.tau.grad is not None and head.alpha.grad is not None
    return float(head.tau.grad), float(head.alpha.grad[0])


def test_tau_only_rises_until_it_meets_the_gate() -> None:
    """No. 4, Eq. 7: d/dtau is -lambda_2 while mean alpha > tau and 0 after; the pressure on a node is lambda_2 / c."""
    assert ratio_gradients(tau=0.2, alpha=0.5) == (pytest.approx(-0.1), pytest.approx(0.1 / D))
    assert ratio_gradients(tau=0.8, alpha=0.5) == (0.0, 0.0)


def test_distillation_acts_on_old_columns_only() -> None:
    """Trap 16: new rows get no gradient from it."""
    logits = torch.randn(4, 6, requires_grad=True)
    teacher = torch.randn(4, 4)
    loss = distillation(logits, teacher, 2.0)
    expected = -(F.softmax(teacher / 2, 1) * F.log_softmax(logits[:, :4] / 2, 1)).sum(1).mean()
    assert torch.allclose(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert float(logits.grad[:, 4:].abs().max()) == 0.0
    assert float(logits.grad[:, :4].abs().max()) > 0.0


def test_presets_follow_their_sources() -> None:
    """docs/methods.md 5.1, 5.2, 5.5 nos. 2, 3, 5, 6, 19."""
    paper, code = (LecConfig(**LecNet.presets[preset]) for preset in ("paper", "code"))
    assert (paper.gamma, paper.lr, paper.beta_warmup, paper.tau_init, paper.tau_shared, paper.tau_clamp) == (0.8, 0.01, 0, 0.5, False, True)
    assert (code.gamma, code.lr, code.beta_warmup, code.tau_init, code.tau_shared, code.tau_clamp) == (0.6, 0.005, 20, 0.0, True, False)
    assert paper.distill_weight == code.distill_weight == 1.0
    assert paper.ratio_weight == code.ratio_weight == 0.1
    assert paper.distill_temperature == code.distill_temperature == 2.0
