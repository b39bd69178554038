"""Backbones, by their names in protocols: those of resnets.py, and small ones.

"ResNet18" means three different networks in this field (docs/methods.md 1.6), so the names here are exact, and
tests check each parameter count (protocols/backbones.py lists it).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.parts.backbone import Backbone, conv3x3, run
from methods.parts.heads import PlainHead
from methods.parts.resnets import ResNet12, ResNet18, ResNet18WithSmallStem, ResNet20


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
    "resnet18_3x3": ResNet18WithSmallStem,
    "resnet12": ResNet12,
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
