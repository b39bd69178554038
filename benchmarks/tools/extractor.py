"""The network that shows images to make features of, and what is stated of it (extract.py)."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from benchmarks.data.sources.raw import Pixels
from benchmarks.data.sources.vectors import of_length_one
from benchmarks.data.transforms import Transform
from benchmarks.data.weights import find_weights
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.files import sha256_file
from methods.parts.backbone import Backbone as Net
from methods.parts.backbones import build_backbone
from protocols.augment import Augment
from protocols.data import Data
from protocols.features import Features, Preparation, check_seen
from protocols.fields import Line
from protocols.messages import explain, first_line
from protocols.own_folder import backbone_file, source_of
from protocols.reading import short
from protocols.schema import Protocol

AGREE = 1e-4
"""Largest change of a feature, relative to its length, between batches of 1 and of 32."""


@dataclass(frozen=True)
class Extractor:
    """A network in evaluation mode, and what is done to an image before it. `l2` divides features by their lengths."""

    net: Net
    name: str
    weights: Path
    transform: Transform
    l2: bool

    @torch.inference_mode()
    def features(self, pixels: Pixels) -> Tensor:
        """Features [n, d], float32, of uint8 pixels [n, C, S, S]."""
        found = self.net(self.transform.normalise(torch.from_numpy(pixels))).float()
        return torch.nn.functional.normalize(found, dim=1) if self.l2 else found

    @torch.inference_mode()
    def pooling(self, pixels: Pixels) -> str:
        """What becomes of the network's last maps, as seen in a forward pass."""
        maps = self.net.upper(self.net.lower(self.transform.normalise(torch.from_numpy(pixels[:1]))))
        high, wide = maps.shape[2:]
        return f"mean over {high} x {wide} positions" if high * wide > 1 else "the network's own"

    def check(self, pixels: Pixels) -> int:
        """The number of features. Raises UsageError unless images in batches of one have those of the batch, and these are finite."""
        together, alone = self.features(pixels), torch.cat([self.features(pixels[row : row + 1]) for row in range(len(pixels))])
        apart = torch.linalg.vector_norm(together - alone, dim=1) / torch.linalg.vector_norm(alone, dim=1)
        if not bool(torch.isfinite(apart).all()) or float(apart.max()) > AGREE:
            raise UsageError(
                f"{self.name}: features in batches of 1 and of {len(pixels)} differ by {float(apart.max()):.2g} of their length"
            )
        if not self.l2 and of_length_one(together.numpy()):
            raise UsageError(f"{self.name}: its features all have length 1; say --l2")
        return int(together.shape[1])


def extractor_of(protocol: Protocol, options: argparse.Namespace) -> Extractor:
    """The network that the options name, else the protocol's. Raises DataError or UsageError; weights are never made up."""
    own, data = protocol.backbone, protocol.data
    if options.backbone is None:
        if said := [f"--{name}" for name in ("weights", "pretrained", "mean", "std") if getattr(options, name) is not None]:
            raise UsageError(f"{', '.join(said)}: without --backbone the network is the protocol's, {own.name}, with its own; name one")
        weights = find_weights(own, options.data_root)
        name, mean, std = own.name, data.mean, data.std
    else:
        if options.weights and Path(options.weights).name != options.weights:
            raise UsageError(f"--weights {short(options.weights)}: must be the name of a file in {options.data_root / 'weights'}")
        weights = options.data_root / "weights" / options.weights if options.weights else None
        name, mean, std = options.backbone, options.mean, options.std
    if weights is None:
        raise UsageError(f"{name} has no weights, and random ones have no features: name a file of DATA_ROOT/weights with --weights")
    if not weights.is_file():
        raise DataError(f"{weights} is not there; put the weights of {name} there")
    if not (mean and std):
        raise UsageError(f"{name}: say --mean and --std, those of the images that its weights were trained on; networks differ in them")
    size = data.size if options.size is None else options.size
    try:
        shown = Data.model_validate({"source": "digits", "size": size, "channels": data.channels, "mean": mean, "std": std})
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*QuickGELU")  # other weights than the function was made for
            net = build_backbone(name, data.channels, weights, size, own.source if name == own.name else None)
    except ValidationError as error:
        raise UsageError(f"--size, --mean or --std: {explain(error, Data)}") from None
    except (ValueError, UserWarning) as error:
        raise UsageError(f"--backbone: {first_line(error)}") from None
    return Extractor(net.eval(), name, weights, Transform(shown, Augment()), options.l2)


def facts_of(extractor: Extractor, pooling: str, options: argparse.Namespace, protocol: Protocol) -> Features:
    """What a protocol on the features and their sidecar state. Raises UsageError."""
    data, name = extractor.transform.data, extractor.name
    file = backbone_file(name.removeprefix("module:")) if name.startswith("module:") else None
    pretrained = options.pretrained or (protocol.backbone.pretrained if options.backbone is None else None)
    if pretrained is None:
        raise UsageError(f"{name}: say with --pretrained on which images its weights were trained, such as imagenet")
    for option, text in (("--pretrained", pretrained), ("--licence", options.licence)):
        try:
            TypeAdapter(Line).validate_python(text)
        except ValidationError:
            raise UsageError(f"{option}: must be one line of text, of at most 200 characters") from None
    try:
        check_seen(protocol.data.source, pretrained, options.novel_seen)
    except ValueError as error:
        raise UsageError(f"--novel-seen: {error}") from None
    return Features(
        network=name + (f" (source {source_of(file)[:16]})" if file else ""),
        weights=sha256_file(extractor.weights),
        pooling=pooling,
        preparation=Preparation(size=data.size, resize="PIL, bilinear, to a square", mean=data.mean, std=data.std),
        l2=extractor.l2,
        pretrained=pretrained,
        novel_seen=options.novel_seen,
    )
