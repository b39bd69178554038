"""Backbones, heads, memory: the parts that methods share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from methods.contract.memory import BudgetError, Memory
from methods.parts.backbones import BACKBONES, build_backbone
from methods.parts.heads import LinearHead, unit
from methods.parts.network import Network, set_batch_norm
from methods.parts.resnets import PooledBlock
from protocols.backbones import SIZES, in_words


def three_by_three(*pairs: tuple[int, int]) -> int:
    """Weights of bias-free 3x3 convolutions from a to b channels, each with a batch norm: 9ab + 2b."""
    return sum(9 * a * b + 2 * b for a, b in pairs)


def shortcut(a: int, b: int) -> int:
    """A 1x1 projection with its batch norm: ab + 2b."""
    return a * b + 2 * b


def stages_of_resnet18() -> int:
    """Four stages of two blocks of two convolutions; the last three begin with a projection."""
    widths = [(64, 64), (64, 128), (128, 256), (256, 512)]
    return sum(three_by_three((a, b), (b, b), (b, b), (b, b)) for a, b in widths) + sum(shortcut(a, b) for a, b in widths[1:])


@pytest.mark.parametrize(
    ("name", "channels", "sizes", "feature_dim", "parameters"),
    [
        ("resnet20", 3, [32], 64, 271_824),  # docs/methods.md 1.6
        ("resnet18", 3, [224], 512, 49 * 3 * 64 + 2 * 64 + stages_of_resnet18()),
        ("resnet18_3x3", 3, [32, 84], 512, three_by_three((3, 64)) + stages_of_resnet18()),
        ("resnet18_3x3", 1, [28], 512, three_by_three((1, 64)) + stages_of_resnet18()),
        *(
            (
                "resnet12",
                channels,
                sizes,
                640,
                sum(
                    three_by_three((a, b), (b, b), (b, b)) + shortcut(a, b) for a, b in [(channels, 64), (64, 160), (160, 320), (320, 640)]
                ),
            )
            for channels, sizes in [(3, [32, 84]), (1, [28])]
        ),
        ("resnet18_2223", 3, [224], 512, 49 * 3 * 64 + 2 * 64 + stages_of_resnet18() + three_by_three((512, 512), (512, 512))),
        ("conv4", 1, [28], 64, 9 * 64 * (1 + 3 * 64) + 4 * 2 * 64),
        ("conv2", 1, [8], 64, 9 * 64 * (1 + 64) + 2 * 2 * 64),
        ("conv2", 3, [8], 64, 9 * 64 * (3 + 64) + 2 * 2 * 64),
        ("mlp", 1, [28], 100, 89_610 - 10 * 100 - 10),  # docs/methods.md 1.6 counts the head of ten with biases
        ("mlp", 3, [28], 100, 3 * 784 * 100 + 100 + 100 * 100 + 100),
    ],
)
def test_backbone_is_what_its_name_says(name: str, channels: int, sizes: list[int], feature_dim: int, parameters: int) -> None:
    """docs/methods.md 10, no. 5: "ResNet18" is three networks. The table for pages says the same of each."""
    with torch.device("meta"):
        backbone = build_backbone(name, channels).eval()
        for size in sizes:
            assert backbone(torch.zeros(2, channels, size, size)).shape == (2, feature_dim)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert backbone.feature_dim == feature_dim
    assert (SIZES[name].width, SIZES[name].parameters(channels)) == (feature_dim, parameters)


def test_the_counts_are_those_of_the_literature() -> None:
    """docs/methods.md 1.6."""
    printed = {"resnet20": 271_824, "resnet18": 11_176_512, "resnet18_3x3": 11_168_832, "resnet12": 12_424_320}
    assert {name: SIZES[name].parameters(3) for name in printed} == printed
    assert SIZES.keys() == BACKBONES.keys() - {"identity"}, "stored features are as wide as they are"
    assert in_words("resnet20", 3) == "resnet20 (64-d, 271,824 parameters)"
    assert in_words("resnet19", 3) == "resnet19"


def test_resnet18_with_a_small_stem_keeps_the_resolution() -> None:
    """ALICE's: maps of 4x4 from 32 pixels, 11x11 from 84; torchvision's stem leaves 1x1 and 3x3."""
    for name, ends in {"resnet18": (1, 3), "resnet18_3x3": (4, 11), "resnet12": (2, 5)}.items():
        with torch.device("meta"):
            net = build_backbone(name, 3).eval()
            maps = [net.upper(net.lower(torch.zeros(1, 3, size, size))).shape[2:] for size in (32, 84)]
        assert maps == [(end, end) for end in ends]


def test_a_stage_of_resnet12_by_hand() -> None:
    """Kernels that pass their centre on, in evaluation mode: leaky ReLU (slope .1) of x + x, and the maximum of four."""
    block = PooledBlock(1, 1).eval()
    for convolution in (block.conv1, block.conv2, block.conv3):
        convolution.weight.data.zero_()[0, 0, 1, 1] = 1.0
    block.get_parameter("shortcut.0.weight").data.fill_(1.0)
    x = torch.tensor([[[[-1.0, -2.0, 1.0, 0.0], [-3.0, -4.0, 2.0, -1.0]]]])
    # of -1: conv1 -.1, conv2 -.01, then -.01 - 1 = -1.01 -> -.101; of 2: 2 + 2 = 4
    with torch.no_grad():
        assert torch.allclose(block(x), torch.tensor([[[[-0.101, 4.0]]]]), atol=1e-4)


def test_first_weights_of_the_new_networks_are_kaimings() -> None:
    torch.manual_seed(0)
    twelve, eighteen = build_backbone("resnet12", 3), build_backbone("resnet18_3x3", 3)
    deviations = {
        twelve.get_parameter("stages.3.conv2.weight"): (2 / (1 + 0.1**2) / (9 * 640)) ** 0.5,
        twelve.get_parameter("stages.0.shortcut.0.weight"): (2 / (1 + 0.1**2) / 64) ** 0.5,
        eighteen.get_parameter("net.conv1.weight"): (2 / (9 * 64)) ** 0.5,
    }
    for weight, expected in deviations.items():
        assert weight.std().item() == pytest.approx(expected, rel=0.1)


def test_resnet20_has_no_relu_between_stem_and_first_block() -> None:
    """docs/methods.md 1.6: gluon's version. The stem may then hand over negative values."""
    net = build_backbone("resnet20", 3).eval()
    assert float(net.get_submodule("stem")(torch.randn(2, 3, 32, 32)).min()) < 0


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(ValueError, match="resnet19"):
        build_backbone("resnet19", 3)


def test_resnet18_weights_are_loaded_without_the_classifier(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    donor = resnet18(weights=None)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    backbone = build_backbone("resnet18", 3, tmp_path / "weights.pth")
    assert torch.equal(backbone.get_parameter("net.conv1.weight"), donor.conv1.weight)
    assert torch.equal(backbone.get_parameter("net.layer4.1.bn2.weight"), donor.get_parameter("layer4.1.bn2.weight"))


def test_weights_of_a_file_are_loaded_or_refused_by_name(tmp_path: Path) -> None:
    donor = build_backbone("resnet18_2223", 3)
    save_file({key.removeprefix("net."): value for key, value in donor.state_dict().items()}, tmp_path / "own.safetensors")
    backbone = build_backbone("resnet18_2223", 3, tmp_path / "own.safetensors")
    assert all(torch.equal(value, donor.state_dict()[key]) for key, value in backbone.state_dict().items())
    with pytest.raises(ValueError, match=r"own\.safetensors does not fit resnet18: Unexpected key.*layer4\.2\."):
        build_backbone("resnet18", 3, tmp_path / "own.safetensors")
    small = build_backbone("conv2", 1)
    torch.save(small.state_dict(), tmp_path / "small.pth")
    loaded = build_backbone("conv2", 1, tmp_path / "small.pth")
    assert torch.equal(loaded.get_parameter("blocks.0.weight"), small.get_parameter("blocks.0.weight"))
    for content, said in ((b"no tensors", "is no file of tensors alone"), (b"", "is no file of tensors alone")):
        for name in ("bad.safetensors", "bad.pth"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match=f"{name} {said}"):
                build_backbone("conv2", 1, tmp_path / name)
    (tmp_path / "bad.pth").write_bytes(b"a" * 64)  # torch's unpickler ends in an IndexError
    with pytest.raises(ValueError, match=r"bad\.pth is no file of tensors alone"):
        build_backbone("conv2", 1, tmp_path / "bad.pth")
    torch.save({**small.state_dict(), "blocks.0.weight": torch.full((64, 1, 3, 3), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(ValueError, match=r"nan\.pth: blocks\.0\.weight holds numbers that are not finite"):
        build_backbone("conv2", 1, tmp_path / "nan.pth")
    torch.save({"epoch": 3, "model": small.state_dict()}, tmp_path / "whole.pth")
    with pytest.raises(ValueError, match="holds more than tensors by name"):
        build_backbone("conv2", 1, tmp_path / "whole.pth")


def test_head_normalises_features_but_not_rows() -> None:
    """docs/methods.md 3.1: z = W n(x); docs/methods.md 10, no. 9."""
    head = LinearHead(2)
    head.grow(1)
    head.weight.data = torch.tensor([[3.0, 4.0]])
    assert head(torch.tensor([[10.0, 0.0]])).item() == pytest.approx(3.0)
    assert head(torch.tensor([[0.1, 0.0]])).item() == pytest.approx(3.0)


def test_head_grows_in_training_only_and_keeps_old_rows() -> None:
    head = LinearHead(8, new_row_std=0.001)
    head.grow(3)
    old = head.weight.detach().clone()
    experience = SimpleNamespace(classes_seen_so_far=[0, 1, 2, 3, 4], classes_in_this_experience=[3, 4])
    head.eval().adaptation(experience)
    assert len(head.weight) == 3
    head.train().adaptation(experience)
    assert len(head.weight) == 5
    assert torch.equal(head.weight[:3], old)
    assert float(head.weight[3:].abs().max()) < 0.01  # N(0, .001²)


def test_unit_rows_have_length_one_and_zero_stays_zero() -> None:
    x = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert torch.allclose(x, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_memory_counts_and_refuses() -> None:
    """Trap 8."""
    memory = Memory(3)
    memory.open(torch.arange(10))
    memory.keep(torch.tensor([5, 1]))
    memory.keep(torch.tensor([5, 2]))
    assert memory.indices.tolist() == [1, 2, 5]
    with pytest.raises(BudgetError, match="keeps 4 images, but declares a budget of 3"):
        memory.keep(torch.tensor([9]))
    assert memory.indices.tolist() == [1, 2, 5]
    memory.drop(torch.tensor([1, 7]))
    assert memory.indices.tolist() == [2, 5]
    unlimited = Memory(None)
    unlimited.open(torch.arange(1000))
    unlimited.keep(torch.arange(1000))
    assert len(unlimited.indices) == 1000


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (torch.tensor([True, False]), r"bool \[2\]"),
        (torch.tensor([1.0, 2.0]), r"float32 \[2\]"),
        (torch.tensor(1), r"int64 \[\]"),
        ([1, 2], "list"),
    ],
)
def test_memory_takes_indices_not_a_mask(given: Any, got: str) -> None:
    """A mask ended in torch's words, and indices as floats made the memory's floats."""
    memory = Memory(None)
    memory.open(torch.arange(10))
    for take in (memory.keep, memory.drop, memory.check):
        with pytest.raises(ValueError, match=f"indices, not a mask: an int64 tensor .n. .got {got}"):
            take(given)
    assert memory.indices.dtype == torch.int64 and not len(memory.indices)


def test_network_in_bf16_returns_float32_logits_near_the_fp32_ones() -> None:
    torch.manual_seed(0)
    net = Network(build_backbone("conv2", 1), "fp32").eval()
    net.head.grow(4)
    x = torch.randn(16, 1, 8, 8)
    exact = net(x)
    net.precision = "bf16"
    rough = net(x)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert torch.allclose(rough, exact, atol=0.05)


def test_batch_norm_mode_is_set_apart_from_the_rest() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    set_batch_norm(net, training=False)
    assert [m.training for m in net] == [True, False, True]
