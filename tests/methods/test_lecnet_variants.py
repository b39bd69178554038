"""LEC-Net's ablations and the other readings of its text, on tensors small enough to write out (docs/methods.md 5.3-5.5)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from methods.lecnet import LecConfig, LecNet, binarising
from methods.parts.backbones import build_backbone
from methods.parts.expansion import ExpandingHead
from methods.parts.heads import CosineHead, LinearHead, PlainHead, unit
from methods.parts.losses import distillation
from tests.methods.lec import D, Maps, adopted, grow, loss_of, network, part


def head_after(sessions: int, **config: Any) -> ExpandingHead:
    return adopted(sessions=sessions, **config).head


def v(head: ExpandingHead, session: int, fused: Tensor) -> Tensor:
    """V_session n(fused)."""
    return unit(fused) @ part(head, session).weight.T


# Table 1: baseline, NE, NC -----------------------------------------------------------------------------------------------


def test_baseline_is_cross_entropy_and_distillation_on_the_projected_feature() -> None:
    """Eq. 2: no branch, no gamma, no ratio loss; every head reads n(F1 x)."""
    lec = adopted(sessions=2, **LecNet.presets["baseline"])
    head, x = lec.head, torch.randn(6, D)
    assert len(head.branches) == len(head.taus) == len(head.gates) == 0
    logits, h = head(x), x @ head.projection.weight.T
    assert torch.allclose(logits, torch.cat([v(head, number, h) for number in range(3)], dim=1), atol=1e-6)
    labels, teacher = torch.tensor([5, 6, 5, 6, 5, 6]), torch.randn(6, 5)
    expected = F.cross_entropy(logits, labels) + distillation(logits, teacher, 2.0)
    assert torch.allclose(loss_of(lec, logits, labels, teacher), expected)
    assert {id(p) for p in lec.trainable()} == {
        id(p) for p in (head.projection.weight, *(part(head, session).weight for session in range(3)))
    }


def test_ne_leaves_every_node_open() -> None:
    """Eq. 3: alpha = 1, in training and stored; nothing is compressed, so there is no ratio loss."""
    lec = adopted(sessions=1, **LecNet.presets["ne"])
    head, x = lec.head, torch.randn(6, D)
    fused = 0.8 * (x @ head.projection.weight.T) + x @ head.branches[0].T
    assert torch.allclose(head(x)[:, 3:], v(head, 1, fused), atol=1e-6)
    head.store_gate()
    assert torch.equal(head.gates, torch.ones(1, D))
    assert torch.allclose(head.eval()(x)[:, 3:], v(head, 1, fused), atol=1e-6)
    logits, labels = torch.randn(6, 5), torch.tensor([3, 4] * 3)
    assert torch.allclose(
        loss_of(lec, logits, labels, logits[:, :3]), F.cross_entropy(logits, labels) + distillation(logits, logits[:, :3], 2.0)
    )


def test_nc_gates_are_the_sigmoid_of_a_free_vector() -> None:
    """Eq. 5: alpha does not see the images; no. 33: tau stays where it is."""
    lec = adopted(sessions=1, **LecNet.presets["nc"])
    head = lec.head
    for x in (torch.randn(6, D), torch.zeros(1, D)):
        head(x)
        assert torch.equal(head.alpha, torch.sigmoid(head.indicators[-1]))
    chosen = {id(p) for p in lec.trainable()}
    assert id(head.indicators[-1]) in chosen
    assert id(head.tau) not in chosen
    assert head.tau.item() == pytest.approx(0.6)
    undecayed = [group["params"] for group in lec.parameter_groups(list(lec.trainable())) if group["weight_decay"] == 0]
    assert [[id(p) for p in group] for group in undecayed] == [[id(head.indicators[-1])]]


@pytest.mark.parametrize("form", ["square", "norm"])
@pytest.mark.parametrize("tau", [0.1, 0.99])
def test_gradients_of_the_appendix(form: str, tau: float) -> None:
    """A.1, Eq. i and ii: 2 (|s_i| - N) sign s_i for the square, and sigma (1 - sigma) / c while mean alpha exceeds tau."""
    lec = adopted(sessions=1, gate="learned", tau_init=tau, indicator_norm=form, indicator_push=10.0, ratio_weight=0.5)
    s = lec.head.indicators[-1]
    s.data = torch.tensor([-2.0, 0.5, 3.0, -0.1])
    lec.head(torch.randn(2, D))
    loss_of(lec, torch.zeros(1, 5), torch.tensor([3]), torch.zeros(1, 3)).backward()
    first = [2 * (2 - 10) * -1, 2 * (0.5 - 10), 2 * (3 - 10), 2 * (0.1 - 10) * -1]
    if form == "norm":  # the square's, over twice the root
        first = [g / 2 / (8**2 + 9.5**2 + 7**2 + 9.9**2) ** 0.5 for g in first]
    gate = torch.sigmoid(s.detach())
    second = gate * (1 - gate) / D if float(gate.mean()) > tau else torch.zeros(D)
    assert s.grad is not None
    assert torch.allclose(s.grad, 0.5 * (torch.tensor(first) + second), rtol=1e-5)
    assert (tau == 0.1) == bool(second.any())


@pytest.mark.parametrize("form", ["square", "norm"])
def test_the_sign_at_the_start_decides_ncs_gates(form: str) -> None:
    """A.1, what the paper blames on NC; and why the square is taken: under the printed norm nothing is decided (docs/methods.md 5.3)."""
    lec = adopted(Maps(512), sessions=1, gate="learned", tau_init=0.6, indicator_norm=form)
    s = lec.head.indicators[-1]
    start = s.detach().clone()
    optimizer = torch.optim.SGD([s], lr=0.01, momentum=0.9, nesterov=True)
    for _ in range(300):
        optimizer.zero_grad()
        (0.1 * (binarising(s, 10.0, form) + F.relu(torch.sigmoid(s).mean() - 0.6))).backward()
        optimizer.step()
    assert torch.equal(s.detach() > 0, start > 0)
    gate = torch.sigmoid(s.detach())
    if form == "square":
        assert torch.equal(gate > 0.99, start > 0)
        assert torch.equal(gate < 0.01, start < 0)
    else:
        assert float((s.detach() - start).abs().max()) < 0.15  # 4e-4 a step


# Self-activation: Eq. 6-8 ------------------------------------------------------------------------------------------------


def test_gradient_of_the_self_gate() -> None:
    """Eq. 6: d alpha_i / d A_ij = beta alpha_i (1 - alpha_i) mean x_j, and nothing for the other nodes."""
    head, x = head_after(1), torch.randn(6, D)
    head.beta = 3.0
    head(x)
    gate = head.alpha.detach()
    for node in range(D):
        (grad,) = torch.autograd.grad(head.alpha[node], head.branches[0], retain_graph=True)
        expected = torch.zeros(D, D)
        expected[node] = 3.0 * gate[node] * (1 - gate[node]) * x.mean(0)
        assert torch.allclose(grad, expected, atol=1e-6)


def test_tau_rises_at_its_rate_until_it_meets_the_gate_and_stays() -> None:
    """No. 4: lr * lambda_2 a step; nothing ever pushes it down."""
    lec = adopted(sessions=1, tau_init=0.495, distill_weight=0.0)
    head = lec.head
    torch.nn.init.zeros_(head.branches[0])  # alpha = .5
    optimizer = torch.optim.SGD([head.tau], lr=0.01)
    taus = []
    for _ in range(10):
        head(torch.randn(5, D))
        optimizer.zero_grad()
        loss_of(lec, torch.zeros(1, 5), torch.tensor([3]), torch.zeros(1, 3)).backward()
        optimizer.step()
        taus.append(head.tau.item())
    assert taus == pytest.approx([0.496, 0.497, 0.498, 0.499, *[0.5] * 6], abs=2e-3)
    assert taus[0] == pytest.approx(0.496, abs=1e-6)
    assert taus == sorted(taus)


def test_mean_of_nodes_or_of_gates() -> None:
    """No. 9: one gate from the batch's mean, or a gate an image whose mean is kept."""
    x = torch.randn(6, D)
    for mean in ("nodes", "gates"):
        head = head_after(1, gate_mean=mean)
        head.beta = 2.0
        a, h = x @ head.branches[0].T, x @ head.projection.weight.T
        gate = torch.sigmoid(2 * a.mean(0)) if mean == "nodes" else torch.sigmoid(2 * a)
        assert torch.allclose(head(x)[:, 3:], v(head, 1, 0.8 * h + gate * a), atol=1e-6)
        assert torch.allclose(head.alpha, gate if mean == "nodes" else gate.mean(0))


@pytest.mark.parametrize("choice", ["stored", "hard", "per_image"])
def test_gate_at_test(choice: str) -> None:
    """No. 11, 12, trap 15: whichever is chosen, an image's logits do not depend on the images beside it."""
    head = adopted(sessions=1, test_gate=choice).head
    head.beta = 3.0
    head.alpha = torch.tensor([0.9, 0.2, 0.6, 0.4])
    head.store_gate()
    head.eval()
    head.beta = 99.0  # of a later session
    x = torch.randn(6, D)
    a, h = x @ head.branches[0].T, x @ head.projection.weight.T
    gates = {"stored": torch.tensor([0.9, 0.2, 0.6, 0.4]), "hard": torch.tensor([1.0, 0.0, 1.0, 0.0]), "per_image": torch.sigmoid(3 * a)}
    assert torch.allclose(head(x)[:, 3:], v(head, 1, 0.8 * h + gates[choice] * a), atol=1e-5)
    assert torch.allclose(head(x), torch.cat([head(row[None]) for row in x]), atol=1e-6)


# Fusion ------------------------------------------------------------------------------------------------------------------


def test_concatenated_features() -> None:
    """No. 7: the session's head reads [gamma F1 x, alpha A x], twice as wide; V_0 is left alone."""
    head, x = head_after(2, fusion="concat", gamma=0.6), torch.randn(6, D)
    logits = head(x)
    assert [tuple(part(head, session).weight.shape) for session in range(3)] == [(3, D), (2, 2 * D), (2, 2 * D)]
    h, a = x @ head.projection.weight.T, [x @ branch.T for branch in head.branches]
    fused = [h, torch.cat([0.6 * h, head.gates[0] * a[0]], dim=1), torch.cat([0.6 * h, head.alpha * a[1]], dim=1)]
    assert torch.allclose(logits, torch.cat([v(head, number, fused[number]) for number in range(3)], dim=1), atol=1e-6)


def test_one_feature_for_all_classes() -> None:
    """No. 14, the text's reading: f'' is everybody's, so a new branch moves old logits."""
    head, x = head_after(1, feature="global", gamma=0.6), torch.randn(6, D)
    before = head(x)
    h = x @ head.projection.weight.T
    assert torch.allclose(before[:, :3], v(head, 0, 0.6 * h + head.alpha * (x @ head.branches[0].T)), atol=1e-6)
    projection = head.projection.weight.detach().clone()
    grow(head, 2)
    head.projection.weight.data = projection
    fused = 0.6 * h + head.gates[0] * (x @ head.branches[0].T)
    logits = head(x)
    fused = fused + head.alpha * (x @ head.branches[1].T)
    assert torch.allclose(logits, torch.cat([v(head, number, fused) for number in range(3)], dim=1), atol=1e-6)
    assert not torch.allclose(logits[:, :5], before, atol=0.01)


def test_a_global_feature_cannot_grow() -> None:
    with pytest.raises(ValidationError, match="fusion concat goes with feature session"):
        LecConfig(fusion="concat", feature="global")


# Layer (Table 2) ---------------------------------------------------------------------------------------------------------


def test_a_1x1_convolution_is_the_fc_layer() -> None:
    """docs/methods.md 5.4: mean and bias-free 1x1 convolution commute, so both are one computation, to the bit."""
    maps = torch.randn(5, D, 3, 2)
    fc, conv = (adopted(sessions=1, layer=layer) for layer in ("fc", "conv1x1"))
    assert torch.equal(fc.model(maps), conv.model(maps))
    by_torch = F.conv2d(maps, conv.head.branches[0][:, :, None, None]).mean(dim=(2, 3))
    assert torch.allclose(F.linear(conv.model.embed(maps), conv.head.branches[0]), by_torch, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 3), (2, 2), (1, 1)], ids=str)
def test_a_3x3_convolution_through_window_means(size: tuple[int, int]) -> None:
    """docs/methods.md 5.4: as torch's conv2d with padding 1 and the mean over positions, for F1 and for the branch."""
    lec = adopted(sessions=1, layer="conv3x3")
    head, maps = lec.head, torch.randn(5, D, *size)
    kernels = [weight.view(D, 3, 3, D).permute(0, 3, 1, 2) for weight in (head.projection.weight, head.branches[0])]
    h, a = (F.conv2d(maps, kernel, padding=1).mean(dim=(2, 3)) for kernel in kernels)
    logits = lec.model(maps)
    assert torch.allclose(logits[:, :3], v(head, 0, h), atol=1e-5)
    assert torch.allclose(logits[:, 3:], v(head, 1, 0.8 * h + torch.sigmoid(a.mean(0)) * a), atol=1e-5)


@pytest.mark.parametrize("layer", ["fc", "conv1x1", "conv3x3"])
def test_base_logits_survive_adoption_by_any_layer(layer: str) -> None:
    """The kernel's centre is the identity: the base accuracy is everybody's."""
    maps = torch.randn(5, D, 3, 3)
    base = network()  # as `adopted` draws it
    assert torch.allclose(adopted(layer=layer).model(maps), base(maps), atol=1e-6)


@pytest.mark.parametrize("learns", [False, True])
def test_new_cosine_heads_have_the_scale_of_the_base(learns: bool) -> None:
    """One argmax over all heads: logits of +-16 beside new ones of +-1 would decide by the scale alone."""
    lec = adopted(sessions=1, head=CosineHead(D, scale=16.0, learns=learns))
    base, new = (part(lec.head, number) for number in (0, 1))
    assert type(new) is CosineHead
    assert new.scale.item() == base.scale.item() == 16
    assert (id(new.scale) in {id(parameter) for parameter in lec.trainable()}) == learns
    x = torch.randn(5, D)
    logits = lec.head(x)  # in training mode, it sets alpha
    fused = 0.8 * F.linear(x, lec.head.projection.weight) + lec.head.alpha * F.linear(x, lec.head.branches[0])
    cosines = F.normalize(fused, dim=1) @ F.normalize(new.weight, dim=1).T
    assert torch.allclose(logits[:, 3:], 16 * cosines, atol=1e-4)


def test_a_head_with_a_bias_keeps_it_and_reads_features_as_they_are() -> None:
    """Seq-MNIST's plain head (docs/methods.md 6.10): new sessions get heads of the base's own kind."""
    lec = adopted(build_backbone("mlp", 1), sessions=1)
    head = lec.head
    assert [type(each) for each in head.heads] == [PlainHead, PlainHead]
    assert type(adopted(sessions=1).head.heads[1]) is LinearHead
    base, new = part(head, 0), part(head, 1)
    base.bias.data.normal_()
    new.bias.data.normal_()
    x = 10 * torch.randn(4, 100)
    h, a = x @ head.projection.weight.T, x @ head.branches[0].T
    logits = head(x)
    fused = 0.8 * h + head.alpha * a
    assert torch.allclose(logits[:, :3], F.linear(h, base.weight, base.bias), rtol=1e-4, atol=1e-3)
    assert torch.allclose(logits[:, 3:], F.linear(fused, new.weight, new.bias), rtol=1e-4, atol=1e-3)
    assert id(new.bias) in {id(p) for p in lec.trainable()}
