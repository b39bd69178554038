"""Backbones, by their names in protocols: those of resnets.py, small ones, and those of others (foreign.py).

"ResNet18" means three different networks in this field (docs/methods.md 1.6), so the names here are exact, and
tests check each parameter count (protocols/backbones.py lists it).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.parts.backbone import Backbone, conv3x3, run
from methods.parts.foreign import build_foreign, check_random
from methods.parts.heads import PlainHead
from methods.parts.resnets import ResNet12, ResNet18, ResNet18WithOneMoreBlock, ResNet18WithSmallStem, ResNet20
from protocols.messages import first_line


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


class Identity(Backbone):
    """Stored features [N, d, 1, 1] as they are: `channels` is d, there is nothing to train, and the last block is empty."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.feature_dim = channels
        self.nothing = nn.Identity()

    @property
    def last_block(self) -> nn.Module:
        return self.nothing

    def lower(self, images: Tensor) -> Tensor:
        return images

    def upper(self, x: Tensor) -> Tensor:
        return x


BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "resnet20": ResNet20,
    "resnet18": ResNet18,
    "resnet18_3x3": ResNet18WithSmallStem,
    "resnet18_2223": ResNet18WithOneMoreBlock,
    "resnet12": ResNet12,
    "conv4": lambda channels: ConvNet(channels, depth=4),
    "conv2": lambda channels: ConvNet(channels, depth=2),
    "mlp": Mlp,
    "identity": Identity,
}


def build_backbone(name: str, channels: int, weights: Path | None = None, size: int = 0, source: str | None = None) -> Backbone:
    """Builds a backbone; initial values come from torch's global generator.

    `weights` is a file of its tensors, .safetensors or .pth: under torchvision's names for a ResNet-18, under its own names for a network
    that is not ours, both with or without the classifier, else under the backbone's own. It is loaded as tensors only, never unpickled as
    code. A network that is not ours is tried on images of side `size`; `source` is the hash that a module's file must have. Raises
    ValueError for an unknown name, for a network that cannot be a backbone, or for tensors that do not fit.
    """
    target: nn.Module
    if ":" in name:
        if weights is None and name.startswith("module:"):
            check_random(name, channels, source)
        backbone, target, classifier = build_foreign(name, channels, size, source)
    elif name in BACKBONES:
        target = backbone = BACKBONES[name](channels)
        classifier = ()
        if isinstance(backbone, ResNet18):
            target, classifier = backbone.net, ("fc.",)
    else:
        raise ValueError(f"backbone {name!r} is not one of {', '.join(sorted(BACKBONES))}")
    if weights is not None:
        state = {key: value for key, value in tensors_of(weights).items() if not key.startswith(classifier)}
        try:
            target.load_state_dict(state)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()[1:]]
            raise ValueError(f"{weights.name} does not fit {name}: {' '.join(lines)[:300]}") from None
        if lost := next((key for key, value in state.items() if not bool(torch.isfinite(value).all())), None):
            raise ValueError(f"{weights.name}: {lost} holds numbers that are not finite")
    return backbone


def tensors_of(file: Path) -> dict[str, Tensor]:
    """The tensors in a .safetensors or .pth file, by name. Raises ValueError for a file that holds anything else."""
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own message says how to run what is in it
        raise ValueError(f"{file.name} is no file of tensors alone; nothing else in it is ever run: save its state_dict") from None
    except Exception as error:  # a foreign file may fail in any way
        raise ValueError(f"{file.name} is no file of tensors alone ({first_line(error) or type(error).__name__})") from None
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise ValueError(f"{file.name} holds more than tensors by name: save its state_dict alone")
    return state
