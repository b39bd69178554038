"""Backbones, by their names in protocols. Each maps images [N, C, S, S] to features [N, d], with d = `feature_dim`.

A backbone consists of `lower`, everything below its last block, and `upper`, the last block. Methods that train only the last
block can run the rest once per session.

"ResNet18" means three different networks in this field (docs/methods.md 1.6), so the names here are exact, and
tests check each parameter count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.parts.heads import GrowingHead, LinearHead, PlainHead


class Backbone(nn.Module):
    """Maps images to features. `feature_dim` is the number of features, `head` the class of the default head."""

    feature_dim: int
    head: type[GrowingHead] = LinearHead

    @property
    def last_block(self) -> nn.Module:
        """The block that is still trained under TOPIC's `--fix-conv` (docs/methods.md 3.1)."""
        raise NotImplementedError

    def lower(self, images: Tensor) -> Tensor:
        """Maps images to the input of the last block."""
        raise NotImplementedError

    def upper(self, x: Tensor) -> Tensor:
        """Maps the output of `lower` to the final feature map [N, d, h, w]; its mean over positions is the feature."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.upper(self.lower(images)).mean(dim=(2, 3))


def run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Applies the layers in order. (Slicing an nn.Sequential would build a new container in every pass.)"""
    for layer in layers:
        x = layer(x)
    return x


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, a 1x1 projection where the shape changes (He et al., CVPR 2016, Fig. 2)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(Backbone):
    """The "ResNet18" of TOPIC's CIFAR tables: ResNet-20, 64-d features, 271,824 parameters (docs/methods.md 1.6).

    As in gluon's `cifar_resnet20_v1`, there is no ReLU between the stem's batch norm and the first block.
    """

    feature_dim = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(channels, 16), nn.BatchNorm2d(16))
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out, 1), BasicBlock(c_out, c_out, 1))
                for c_in, c_out, stride in widths
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def last_block(self) -> nn.Module:
        return list(self.stages)[2][2]  # type: ignore[index]

    def lower(self, images: Tensor) -> Tensor:
        first, second, third = self.stages
        return run(list(third)[:2], second(first(self.stem(images))))  # type: ignore[call-overload]

    def upper(self, x: Tensor) -> Tensor:
        return self.last_block(x)


class ResNet18(Backbone):
    """torchvision's ResNet-18 without its classifier: 7x7/2 stem and max-pool, 512-d, 11,176,512 parameters."""

    feature_dim = 512

    def __init__(self, channels: int) -> None:
        if channels != 3:
            raise ValueError("backbone resnet18 reads 3 channels")
        super().__init__()
        from torchvision.models import resnet18

        self.net = resnet18(weights=None)
        self.net.fc = nn.Identity()  # type: ignore[assignment]

    @property
    def last_block(self) -> nn.Module:
        return self.net.layer4[1]

    def lower(self, images: Tensor) -> Tensor:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return net.layer4[0](net.layer3(net.layer2(net.layer1(x))))

    def upper(self, x: Tensor) -> Tensor:
        return self.last_block(x)


class ConvNet(Backbone):
    """`depth` blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pool, then a global mean (64-d).

    Depth 4 on 28x28 is the Conv-4 of the few-shot literature (Vinyals et al., NeurIPS 2016).
    """

    feature_dim = 64

    def __init__(self, channels: int, depth: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [conv3x3(channels if index == 0 else width, width), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*layers)

    @property
    def last_block(self) -> nn.Module:
        return self.blocks[-4:]

    def lower(self, images: Tensor) -> Tensor:
        return run(list(self.blocks)[:-4], images)

    def upper(self, x: Tensor) -> Tensor:
        return run(list(self.blocks)[-4:], x)


class Mlp(Backbone):
    """784-100-100 with ReLU and Xavier initialisation, and a plain linear head: the network for Seq-MNIST (docs/methods.md 6.10)."""

    feature_dim = 100
    head = PlainHead

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(channels * 784, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU())
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    @property
    def last_block(self) -> nn.Module:
        return self.layers[3:]

    def lower(self, images: Tensor) -> Tensor:
        return run(list(self.layers)[:3], images)

    def upper(self, x: Tensor) -> Tensor:
        return run(list(self.layers)[3:], x)[:, :, None, None]


BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "resnet20": ResNet20,
    "resnet18": ResNet18,
    "conv4": lambda channels: ConvNet(channels, depth=4),
    "conv2": lambda channels: ConvNet(channels, depth=2),
    "mlp": Mlp,
}


def build_backbone(name: str, channels: int, weights: Path | None = None) -> Backbone:
    """Builds a backbone; initial values come from torch's global generator.

    `weights` is a torchvision ResNet-18 checkpoint. It is loaded as tensors only, never unpickled as code.
    Raises ValueError for an unknown name.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone {name!r} is not one of {', '.join(sorted(BACKBONES))}")
    backbone = BACKBONES[name](channels)
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        state = {f"net.{key}": value for key, value in state.items() if not key.startswith("fc.")}
        backbone.load_state_dict(state)
    return backbone
