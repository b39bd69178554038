"""WaRP's space, importances and frozen coefficients by hand, and in a session."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from methods import warp
from methods.parts.backbone import Backbone
from methods.parts.backbones import build_backbone
from methods.parts.foreign import Foreign
from methods.parts.network import Network
from methods.parts.rotated import RotatedConv, freeze_most_important, late_convolutions, rotate, rotated
from methods.warp import Warp
from tests.methods.by_hand import label_loss_of, plain
from tests.methods.conftest import Enter


def test_a_rotated_convolution_computes_the_same() -> None:
    conv, x = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), torch.randn(2, 2, 8, 8)
    basis = torch.linalg.qr(torch.randn(18, 18))[0]
    assert torch.allclose(RotatedConv(conv, basis)(x), conv(x), atol=1e-5)


class Own(Backbone):
    """A user's network: an unnamed stem and this last block."""

    feature_dim = 4

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    @property
    def last_block(self) -> nn.Module:
        return self.block

    def lower(self, images: Tensor) -> Tensor:
        return torch.cat([images, images.flip(2)], dim=1)

    def upper(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class Unlike(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_rotated_network_computes_the_same_with_biases() -> None:
    """They were lost, and features with them; torch's convolutions have them by default."""
    network, images = Network(Own(nn.Sequential(nn.Conv2d(2, 4, 3))), "fp32").eval(), torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        before = network.embed(images)
        rotate(network, images.split(4))
        assert torch.allclose(network.embed(images), before, atol=1e-4)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (nn.Conv2d(2, 4, 3, groups=2), "cannot rotate the convolution block.0, which has groups 2"),
        (nn.Conv2d(2, 4, 3, dilation=2), r"block.0, which has dilation \(2, 2\)"),
        (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), "block.0, which has padding_mode reflect"),
        (nn.Conv2d(2, 4, 3, padding="same"), "block.0, which has padding 'same'"),
        (Unlike(2, 4, 3), r"block.0, which has a forward of its own \(Unlike\)"),
        (nn.ReLU(), "warp: it rotates convolutions, and the last block of this network has none"),
    ],
)
def test_what_cannot_be_rotated_is_refused(block: nn.Module, said: str) -> None:
    """Each was rotated into something else, or ended in torch's words after the base session."""
    with pytest.raises(ValueError, match=said):
        late_convolutions(Own(nn.Sequential(block)))


@pytest.mark.parametrize("backbone", [Backbone(), Foreign("timm:some", nn.Conv2d(1, 4, 3), 4)])
def test_a_network_that_names_no_last_block_is_refused(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="the network names no last block, whose layers this needs; write a methods"):
        late_convolutions(backbone)


@pytest.mark.parametrize(("name", "count"), [("resnet20", 7), ("resnet18", 10), ("resnet12", 8), ("conv2", 1)])
def test_late_convolutions_and_their_shortcuts(name: str, count: int) -> None:
    """The third stage of ResNet-20, the last two of ResNet-18 (8 convolutions and 2 shortcuts) and of ResNet-12."""
    assert len(late_convolutions(build_backbone(name, 1 if name == "conv2" else 3))) == count


def test_the_space_is_of_the_inputs_second_moments() -> None:
    """Eigenvectors of X X' over the convolution's windows, not centred, from all batches."""
    network = Network(build_backbone("conv2", 1), "fp32").eval()
    [conv] = late_convolutions(network.backbone).values()
    blocks = network.backbone.get_submodule("blocks")
    assert isinstance(blocks, nn.Sequential)
    weight, images = conv.weight.detach().clone(), torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        columns = F.unfold(blocks[:4](images), 3, padding=1).transpose(0, 1).flatten(1)
        before = network.embed(images)
        rotate(network, images.split(4))
        assert torch.allclose(network.embed(images), before, atol=1e-4)
    [layer] = rotated(network)
    diagonal = layer.basis.T @ (columns @ columns.T) @ layer.basis
    assert torch.allclose(diagonal, torch.diag(diagonal.diagonal()), atol=1e-3 * float(diagonal.abs().max()))
    assert torch.allclose(layer.coefficients, weight.flatten(1) @ layer.basis, atol=1e-5)


def test_one_threshold_over_all_layers_and_what_is_frozen_stays() -> None:
    """A quarter of eight coefficients: the two largest, both of the second layer."""
    layers = [RotatedConv(nn.Conv2d(2, 2, 1, bias=False), torch.eye(2)) for _ in range(2)]
    layers[0].frozen[0, 0] = True
    freeze_most_important(layers, [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[9.0, 0.0], [8.0, 0.0]])], 0.25)
    assert layers[0].frozen.tolist() == [[True, False], [False, False]]
    assert layers[1].frozen.tolist() == [[True, False], [True, False]]
    freeze_most_important(layers, [torch.zeros(2, 2)] * 2, 0.25)
    assert sum(int(layer.frozen.sum()) for layer in layers) == 3, "what has no gradient is not frozen"


def test_weight_decay_in_sessions_is_refused() -> None:
    """Trap: it would move frozen coefficients."""
    with pytest.raises(ValidationError, match="less than or equal to 0"):
        Warp.Config(weight_decay=5e-4)


def test_a_session_moves_only_coefficients_that_are_not_frozen(enter: Enter) -> None:
    contender = enter("warp", "epochs=4", "lr=0.1")
    s: Any = contender.strategy
    trained = s.model.head.weight.detach().clone()
    contender.train(0, 0)
    [layer] = rotated(s.model)
    assert s.session_log()["frozen"] == pytest.approx(0.1, abs=0.001)
    assert not torch.allclose(s.model.head.weight, trained), "rows are means, and importance is that of the prototype head"
    before = {name: value.clone() for name, value in s.model.state_dict().items()}
    contender.train(1, 0)
    after = s.model.state_dict()
    moved = layer.coefficients != before[next(name for name in before if name.endswith("coefficients"))]
    frozen = before[next(name for name in before if name.endswith("frozen"))]
    assert not (moved & frozen).any() and moved[~frozen].float().mean() > 0.9
    assert all(torch.equal(after[name], value) for name, value in before.items() if not name.endswith(("coefficients", "frozen", "weight")))
    assert torch.equal(after["head.weight"][:6], before["head.weight"]), "no row is computed again"
    assert (layer.frozen | ~frozen).all() and layer.frozen.sum() > frozen.sum(), "a union"


def test_new_rows_are_those_of_the_network_before_the_steps(enter: Enter) -> None:
    contender = enter("warp", "epochs=4", "lr=0.1")
    contender.train(0, 0)
    s: Any = contender.strategy
    own = torch.from_numpy(contender.seed_context.split.train[1])
    contender.open(1)
    features, labels = s.embed_indices(own).detach(), contender.images.labels(own)
    contender.train(1, 0)
    assert torch.allclose(s.model.head.weight[6], features[labels == 6].mean(0), atol=1e-6)


def test_importance_by_hand(enter: Enter) -> None:
    """Absolute gradients of each batch's mean loss, summed: with batches of one, not the gradient of the sum."""
    contender = enter("warp")
    contender.train(0, 0)
    s: Any = contender.strategy
    contender.open(0)
    indices = torch.from_numpy(contender.seed_context.split.train[0])[:3]
    [found] = s.importance(indices, 1)
    [layer] = rotated(s.model)
    total = torch.zeros_like(found)
    for index in indices:
        logits = 16 * F.cosine_similarity(s.model.embed(contender.images.plain(index[None])), s.model.head.weight)[None]
        [gradient] = torch.autograd.grad(F.cross_entropy(logits, contender.images.labels(index[None])), [layer.coefficients])
        total += gradient.abs()
    assert torch.allclose(found, total, rtol=1e-3, atol=1e-7)


def test_base_images_count_in_batches_of_class_after_class_and_shots_one_by_one(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is frozen is chosen by these sums. 100 images a batch: most hold one class, and a batch's mean loss has other gradients in any
    other order."""
    found: list[torch.Tensor] = []
    monkeypatch.setattr(warp, "freeze_most_important", lambda layers, importance, share: found.extend(importance))
    contender = enter("warp", "epochs=2", "importance_batch=100")
    s: Any = contender.strategy
    for session, batch in ((0, 100), (1, 1)):
        contender.train(session, 0)
        own = torch.from_numpy(contender.seed_context.split.train[session])
        labels = contender.images.labels(own)
        ordered = [(row, label) for label in sorted(set(labels.tolist())) for row in own[labels == label].tolist()]
        [layer] = rotated(s.model.eval())
        layer.coefficients.requires_grad_()
        total = torch.zeros_like(found[session])
        for first in range(0, len(ordered), batch):
            rows, of = torch.tensor(ordered[first : first + batch]).T
            logits = 16 * F.cosine_similarity(s.model.embed(plain(contender, rows))[:, None], s.model.head.weight, dim=2)
            total += torch.autograd.grad(label_loss_of(logits, of), [layer.coefficients])[0].abs()
        assert torch.allclose(found[session], total, rtol=1e-3, atol=1e-5)
