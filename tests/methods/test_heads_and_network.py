"""Heads by hand, networks cut at their last block, and a 3x3 convolution as one linear layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.backbones import build_backbone
from methods.parts.expansion import window_means
from methods.parts.heads import CosineHead, GrowingHead, LinearHead, PlainHead
from methods.parts.network import Network

HEADS = [LinearHead, CosineHead, PlainHead]
NETWORKS = [
    ("resnet20", 3, 32),
    ("resnet18", 3, 64),
    ("resnet18_3x3", 1, 16),
    ("resnet12", 3, 32),
    ("conv4", 1, 28),
    ("conv2", 1, 8),
    ("mlp", 1, 28),
]


def experience(classes: int) -> SimpleNamespace:
    return SimpleNamespace(classes_seen_so_far=list(range(classes)), classes_in_this_experience=[classes - 1])


def test_cosine_head_by_hand() -> None:
    """Hou et al., Eq. 4: scale * cos, of which the lengths of feature and row are no part. (3,4) and (1,0): 3/5."""
    head = CosineHead(2)
    head.grow(2)
    assert head.scale.item() == 1.0
    assert isinstance(head.scale, nn.Parameter)
    head.weight.data = torch.tensor([[3.0, 4.0], [0.0, -7.0]])
    for length in (1.0, 0.01, 1000.0):
        assert torch.allclose(head(torch.tensor([[length, 0.0], [0.0, length]])), torch.tensor([[0.6, 0.0], [0.8, -1.0]]))
    head.scale.data.fill_(5.0)
    assert torch.allclose(head(torch.tensor([[2.0, 0.0]])), torch.tensor([[3.0, 0.0]]))
    assert torch.allclose(head.cosines(torch.tensor([[2.0, 0.0]])), torch.tensor([[0.6, 0.0]]))


@pytest.mark.parametrize("learns", [False, True])
def test_a_whole_number_is_a_scale_like_any_other(learns: bool) -> None:
    assert torch.equal(CosineHead(2, scale=16, learns=learns).scale, torch.tensor(16.0))
    assert CosineHead(2, scale=16, learns=learns).scale.dtype == torch.float32


def test_cosine_heads_scale_learns_and_survives_growth() -> None:
    head = CosineHead(2)
    head.grow(1)
    head.weight.data = torch.tensor([[3.0, 4.0]])
    head(torch.tensor([[2.0, 0.0]])).sum().backward()
    assert head.scale.grad is not None
    assert head.scale.grad.item() == pytest.approx(0.6)
    head.scale.data.fill_(5.0)
    head.grow(3)
    assert head.scale.item() == 5.0
    assert head.class_tensors() == [head.weight], "frozen rows are rows; the scale is no class's"


def test_plain_head_by_hand() -> None:
    """An ordinary linear layer: features keep their lengths, and there is a bias."""
    head = PlainHead(2)
    head.grow(2)
    assert head.bias.tolist() == [0.0, 0.0]
    head.weight.data = torch.tensor([[3.0, 4.0], [-1.0, 0.0]])
    head.bias.data = torch.tensor([0.5, -2.0])
    assert head(torch.tensor([[10.0, 1.0], [0.1, 0.0]])).tolist() == [pytest.approx([34.5, -12.0]), pytest.approx([0.8, -2.1])]


def test_plain_head_draws_xaviers_rows() -> None:
    """Uniform within sqrt(6 / (d + rows)); later rows within the bound of the head they join."""
    torch.manual_seed(0)
    head = PlainHead(300)
    for rows, before in ((100, 0), (200, 100)):
        head.grow(rows)
        new, bound = head.weight[before:].detach(), (6 / (300 + rows)) ** 0.5
        assert 0.99 * bound < float(new.abs().max()) <= bound
        assert new.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("cls", HEADS)
def test_growing_keeps_old_rows_and_answers(cls: type[GrowingHead]) -> None:
    torch.manual_seed(0)
    head = cls(8)
    head.grow(3)
    for tensor in head.class_tensors():
        tensor.data += torch.rand_like(tensor)
    x, old = torch.randn(5, 8), [tensor.detach().clone() for tensor in head.class_tensors()]
    answers = head(x)
    head.grow(2)
    assert len(head.weight) == 3, "a head never shrinks"
    head.grow(5)
    for tensor, kept in zip(head.class_tensors(), old, strict=True):
        assert len(tensor) == 5
        assert torch.equal(tensor[:3], kept)
        assert isinstance(tensor, nn.Parameter)
    assert torch.allclose(head(x)[:, :3], answers)
    assert head(x).shape == (5, 5)


@pytest.mark.parametrize("cls", HEADS)
def test_new_row_std_replaces_the_heads_own_draw(cls: type[GrowingHead]) -> None:
    """Trap 2: the ratio of new rows to old ones is the method's to choose."""
    torch.manual_seed(0)
    head = cls(1000)
    head.grow(2)
    head.new_row_std = 0.001
    head.grow(4)
    assert head.weight[2:].std().item() == pytest.approx(0.001, rel=0.1)
    assert head.weight[:2].std().item() > 0.01


@pytest.mark.parametrize("cls", HEADS)
def test_a_head_that_does_not_adapt_grows_for_its_owner_only(cls: type[GrowingHead]) -> None:
    head = cls(4).train()
    head.grow(2)
    head.adapts = False
    head.adaptation(experience(5))
    assert len(head.weight) == 2
    head.grow(3)
    assert len(head.weight) == 3
    head.adapts = True
    head.adaptation(experience(5))
    assert len(head.weight) == 5


def whole(backbone: Any, images: Tensor) -> Tensor:
    """The backbone's features without its cut in two: all of its layers, in their order."""
    if hasattr(backbone, "net"):
        return backbone.net(images)  # torchvision's own forward, its classifier taken off
    if hasattr(backbone, "layers"):
        return backbone.layers(images)
    stem = getattr(backbone, "stem", nn.Identity())
    maps = backbone.blocks(images) if hasattr(backbone, "blocks") else backbone.stages(stem(images))
    return maps.mean(dim=(2, 3))


@pytest.mark.parametrize(("name", "channels", "size"), NETWORKS)
def test_both_halves_are_the_whole_network(name: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    network = Network(build_backbone(name, channels), "fp32").eval()
    network.head.grow(4)
    x = torch.randn(3, channels, size, size)
    with torch.no_grad():
        expected = whole(network.backbone, x)
        lower = network.embed_lower(x)
        assert expected.shape == (3, network.feature_dim)
        assert torch.allclose(network.embed_upper(lower), expected, atol=1e-5)
        assert torch.allclose(network.embed(x), expected, atol=1e-5)
        assert torch.allclose(network.backbone(x), expected, atol=1e-5)
        assert torch.allclose(network(x), network.head(expected), atol=1e-5)
    assert float(expected.std()) > 1e-4, "all features are alike: nothing would be noticed"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("resnet20", "stages.2.2."),
        ("resnet18", "net.layer4.1."),
        ("resnet18_3x3", "net.layer4.1."),
        ("resnet12", "stages.3."),
        ("conv4", "blocks.12 13 "),
        ("conv2", "blocks.4 5 "),
        ("mlp", "layers.3."),
    ],
)
def test_last_block_is_the_last(name: str, prefix: str) -> None:
    """docs/methods.md 3.1: what `--fix-conv` leaves to train. It gets gradients from `upper`, and all below gets none."""
    channels, size = next((c, s) for n, c, s in NETWORKS if n == name)
    backbone = build_backbone(name, channels).eval()
    if " " in prefix:  # in a flat sequence a block is its layers that have parameters
        folder, _, numbers = prefix.partition(".")
        prefixes = tuple(f"{folder}.{number}." for number in numbers.split())
    else:
        prefixes = (prefix,)
    expected = {parameter: value for parameter, value in backbone.named_parameters() if parameter.startswith(prefixes)}
    assert expected
    assert {id(p) for p in backbone.last_block.parameters()} == {id(p) for p in expected.values()}
    assert list(backbone.parameters())[-1] is list(backbone.last_block.parameters())[-1]
    below = backbone.lower(torch.randn(2, channels, size, size)).detach()
    backbone.upper(below).sum().backward()
    assert {parameter for parameter, value in backbone.named_parameters() if value.grad is not None} == set(expected)


def as_linear(kernel: Tensor) -> Tensor:
    """Kernel [o, d, 3, 3] as a matrix over the nine window means, window by window."""
    return torch.cat([kernel[:, :, row, column] for row in range(3) for column in range(3)], dim=1)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 2), (1, 3), (4, 7)])
def test_linear_layer_on_window_means_is_a_padded_convolution_and_its_mean(h: int, w: int) -> None:
    torch.manual_seed(0)
    maps, kernel = torch.randn(5, 6, h, w).double(), torch.randn(4, 6, 3, 3).double()
    expected = F.conv2d(maps, kernel, padding=1).mean(dim=(2, 3))
    means = window_means(maps)
    assert means.shape == (5, 9 * 6)
    assert torch.allclose(F.linear(means, as_linear(kernel)), expected)
    assert torch.allclose(means[:, 4 * 6 : 5 * 6], maps.mean(dim=(2, 3))), "the middle window is the plain feature"


def test_window_means_by_hand() -> None:
    """On [[1, 2], [3, 4]]: the kernel's top row meets the map's first row only, its left column the first column only."""
    means = window_means(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert (4 * means).tolist() == [[1.0, 3.0, 2.0, 4.0, 10.0, 6.0, 3.0, 7.0, 4.0]]


@pytest.mark.parametrize("name", ["conv2", "conv4", "resnet20", "resnet12", "resnet18_3x3"])
def test_network_embeds_nine_windows_where_asked(name: str) -> None:
    channels, size = next((c, s) for n, c, s in NETWORKS if n == name)
    network = Network(build_backbone(name, channels), "fp32").eval()
    x = torch.randn(3, channels, size, size)
    with torch.no_grad():
        plain = network.embed(x)
        network.pool = window_means
        nine = network.embed(x)
    d = network.feature_dim
    assert nine.shape == (3, 9 * d)
    assert torch.allclose(nine[:, 4 * d : 5 * d], plain, atol=1e-6)
