"""Networks that are not ours, as backbones: `torchvision:NAME`, `timm:NAME`, and `module:NAME`, a file of the folder of methods.

A classifier at the end is taken off. How many features are left, and that an image's features are its own, is seen in a forward pass.
Initial values come from torch's global generator.
"""

from __future__ import annotations

import ast
import importlib
import traceback
from functools import cache

import torch
from torch import Tensor, nn

from methods.parts.backbone import Backbone
from methods.parts.own_files import join_own_folder, out_of_bounds
from methods.parts.resnets import ResNet18
from protocols.messages import first_line, nearest
from protocols.own_folder import backbone_file, own_folder, source_of

CLASSES = 1009
"""Classes of a classifier that is taken off: a number that no other layer has."""
SHOWN = 8
"""Images of the forward pass that a network is tried with."""
ROUNDING = 1e-4
"""Largest change of an image's features, relative to their norm, when the others of its batch are left out."""


class Foreign(Backbone):
    """A network that maps images to vectors [N, d] or maps [N, d, h, w]. All of it is `lower`: what its last block is, nobody knows."""

    def __init__(self, name: str, net: nn.Module, feature_dim: int) -> None:
        super().__init__()
        self.name, self.net, self.feature_dim = name, net, feature_dim

    @property
    def last_block(self) -> nn.Module:
        raise ValueError(f"backbone {self.name} names no last block; train all of it or none, or write a methods.parts.backbone.Backbone")

    def lower(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)
        return features if features.dim() == 4 else features[:, :, None, None]

    def upper(self, x: Tensor) -> Tensor:
        return x


class ForeignResNet(ResNet18):
    """One of torchvision's residual networks, whose last block is known."""

    def __init__(self, net: nn.Module, feature_dim: int) -> None:
        Backbone.__init__(self)
        self.net, self.feature_dim = net, feature_dim


def build_foreign(name: str, channels: int, size: int, source: str | None) -> tuple[Backbone, nn.Module, tuple[str, ...]]:
    """The backbone, its part that a file of weights holds, and the beginnings of names in that file that belong to the classifier.

    Images are [N, `channels`, `size`, `size`]; `source` is the hash that the file of a `module:NAME` must have. Raises ValueError.
    """
    from torchvision.models import ResNet

    feature_dim = features_of(name, channels, size, source)
    net, classifier = network_of(name, channels, source)
    if isinstance(net, Backbone):
        return net, net, ()
    backbone = ForeignResNet(net, feature_dim) if isinstance(net, ResNet) else Foreign(name, net, feature_dim)
    return backbone, net, classifier


def network_of(name: str, channels: int, source: str | None) -> tuple[nn.Module, tuple[str, ...]]:
    """The network without its classifier, and the classifier's names. Raises ValueError."""
    kind, _, what = name.partition(":")
    if kind == "torchvision":
        return of_torchvision(what, channels)
    return of_timm(what, channels) if kind == "timm" else (of_module(what, channels, source), ())


def of_torchvision(name: str, channels: int) -> tuple[nn.Module, tuple[str, ...]]:
    from torchvision import models

    if name not in (known := models.list_models(module=models)):
        raise ValueError(f"torchvision has no network {name!r}.{nearest(name, known)}")
    if channels != 3:
        raise ValueError(f"torchvision's {name} reads 3 channels")
    net = models.get_model(name, weights=None, num_classes=CLASSES)
    ends = [path for path, part in net.named_modules() if CLASSES in (getattr(part, "out_features", 0), getattr(part, "out_channels", 0))]
    if len(ends) != 1:
        raise ValueError(f"torchvision's {name} has {len(ends)} classifiers, which are trained together; take a network with one")
    above, _, last = ends[0].rpartition(".")
    setattr(net.get_submodule(above), last, nn.Identity())
    for part in net.modules():  # a step draws nothing: interrupted training would go on with other numbers
        if isinstance(part, nn.modules.dropout._DropoutNd) or type(part).__name__ == "StochasticDepth":
            part.p = 0.0
    return net, (f"{ends[0]}.",)


def of_timm(name: str, channels: int) -> tuple[nn.Module, tuple[str, ...]]:
    try:
        import timm
    except ImportError:
        raise ValueError("networks of timm need the package timm: pip install timm") from None
    if not timm.is_model(name):
        raise ValueError(f"timm has no network {name!r}.{nearest(name, timm.list_models())}")
    try:
        net = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"timm's {name} cannot be built ({first_line(error)})") from None
    named = net.pretrained_cfg.get("classifier") or ()
    return net, tuple(f"{one}." for one in ([named] if isinstance(named, str) else named))


def of_module(name: str, channels: int, source: str | None) -> nn.Module:
    """What `backbone(channels)` of the file returns. Raises ValueError."""
    path = backbone_file(name)
    if path is None:
        where = own_folder() or "the folder of --methods-dir"
        raise ValueError(f"{where} has no {name}.py with a function backbone(channels)")
    if source is not None and source_of(path) != source:
        raise ValueError(f"{path} is not the file with the source {source[:16]}…, or has changed meanwhile; start again")
    try:
        if (reached := out_of_bounds(ast.parse(path.read_bytes()))) is not None:
            raise ImportError(f"may not import {reached[1]}")
        join_own_folder("methods")
        seed = torch.initial_seed()
        net = importlib.import_module(f"methods.{name}").backbone(channels)
        if torch.initial_seed() != seed:
            raise RuntimeError("it seeds torch's generator, so that every seed of a table would start from the same values")
    except Exception as error:  # a user's file may fail in any way
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        at = f" (line {lines[-1]})" if lines else ""
        raise ValueError(f"{path}: {type(error).__name__}: {first_line(error)}{at}") from None
    if not isinstance(net, nn.Module):
        raise ValueError(f"{path}: backbone(channels) must return an nn.Module, and returned {type(net).__name__}")
    return net


@cache
def check_random(name: str, channels: int, source: str | None) -> None:
    """Raises ValueError if a network that should start at random has the same values under two seeds: tables would call it from scratch."""
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            drawn.append(list(network_of(name, channels, source)[0].state_dict(keep_vars=True).values()))
    unknown = any(nn.parameter.is_lazy(one) for one in drawn[0])  # until a first batch comes
    trained = any(isinstance(one, nn.Parameter) for one in drawn[0])
    if trained and not unknown and all(torch.equal(one, other) for one, other in zip(*drawn, strict=True)):
        raise ValueError(f"{name} has the same values under every seed; if they come from a file, name it with weights")


@cache
def features_of(name: str, channels: int, size: int, source: str | None) -> int:
    """How many features the network returns, tried once a process. Raises ValueError if it cannot be a backbone of such images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = network_of(name, channels, source)[0]
        images = torch.randn(SHOWN, channels, size, size)
        try:
            with torch.no_grad():
                together, alone = net.eval()(images), net(images[:1])
                state = torch.get_rng_state()
                trained = net.train()(images[:2])
        except Exception as error:  # a user's network may fail in any way
            raise ValueError(f"{name} cannot take images of data.size {size} with {channels} channels ({first_line(error)})") from None
        drawn = not torch.equal(state, torch.get_rng_state())
    for features, mode in ((together, "evaluation"), (trained, "training")):
        if not (isinstance(features, Tensor) and features.dim() in (2, 4) and features.is_floating_point()):
            what = f"a tensor of shape {list(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{name} must return vectors [N, d] or maps [N, d, h, w], and returned {what} in {mode}")
    if torch.linalg.vector_norm(together[:1] - alone) > ROUNDING * torch.linalg.vector_norm(alone):
        raise ValueError(f"{name}: the features of an image depend on the images beside it, in evaluation mode, too")
    if drawn:
        raise ValueError(f"{name} draws random numbers while it trains (dropout?); set that to 0: interrupted training cannot repeat it")
    stated = getattr(net, "feature_dim", together.shape[1])
    if stated != together.shape[1]:
        raise ValueError(f"{name}: feature_dim says {stated}, and it returns {together.shape[1]} features")
    return int(together.shape[1])
