"""Writes a network's features of a protocol's images: a data set of its own, on which heads are trained in minutes (docs/DATA.md).

    python -m benchmarks.tools.extract --protocol cub200 --novel-seen possible --out data/cub200-features

The folder gets the features, a sidecar that says whose they are, and a protocol on them, NAME.yaml for a folder NAME. The images go through
PIL once, as in all of the suite, and through the network in evaluation mode; its weights must be there: none are made up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import PIL
import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save
from torch import Tensor

from benchmarks.data.images import decode, found_files
from benchmarks.data.sources.features import FILE, PARTS, SIDECAR, Origin, Sidecar, packed_ids, read_texts
from benchmarks.data.sources.raw import Pixels, RawPart, RawSet
from benchmarks.data.transforms import Transform
from benchmarks.data.weights import find_weights
from benchmarks.system.device import make_deterministic
from benchmarks.system.errors import DataError, StorageError, UsageError
from benchmarks.system.files import sha256_file, write_atomic
from benchmarks.system.settings import a_folder, a_number, threads_of
from methods.parts.backbone import Backbone as Net
from methods.parts.backbones import build_backbone
from protocols.augment import Augment
from protocols.data import Data
from protocols.features import Features, Preparation, Seen
from protocols.fields import Line
from protocols.loading import load_protocol
from protocols.messages import explain, first_line
from protocols.on_features import protocol_on
from protocols.own_folder import backbone_file, source_of, take_own_folder
from protocols.reading import InputError
from protocols.schema import Protocol

BATCH = 32
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
        return int(together.shape[1])


def extractor_of(protocol: Protocol, options: argparse.Namespace) -> Extractor:
    """The network that the options name, else the protocol's. Raises DataError or UsageError; weights are never made up."""
    own, data = protocol.backbone, protocol.data
    if options.backbone is None:
        weights = find_weights(own, options.data_root)
        name, mean, std = own.name, options.mean or data.mean, options.std or data.std
    else:
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


def of_protocol(protocol: Protocol, root: Path) -> RawSet:
    """The files of the protocol's images; of its first classes, if it names a number. Raises DataError."""
    return found_files(protocol.data, root).read().of_first_classes(protocol.data.classes)


def ids_of(raw: RawSet, root: Path) -> dict[str, list[str]]:
    """Ids of the images of both parts: a number, which is their order, and the name of a file."""
    ids: dict[str, list[str]] = {}
    first = 0
    for part, own in zip(PARTS, (raw.train, raw.test), strict=True):
        names = [item.relative_to(root).as_posix() if isinstance(item, Path) else part for item in own.images]
        names = raw.keys if part == "train" and raw.keys is not None else names
        ids[part] = [f"{first + number:07d} {name}" for number, name in enumerate(names)]
        first += len(names)
    return ids


def pieces(part: RawPart, size: int, channels: int) -> Iterator[Pixels]:
    for start in range(0, len(part.images), BATCH):
        yield decode(RawPart(part.images[start : start + BATCH], part.classes[start : start + BATCH], part.inverted), size, channels)


def write_features(options: argparse.Namespace) -> tuple[Path, ...]:
    """Writes the features, their sidecar and a protocol on them. Raises DataError, UsageError, ProtocolError or StorageError."""
    protocol, folder = load_protocol(options.protocol), options.out
    if protocol.data.of_vectors:
        raise UsageError(f"{protocol.name} has stored features already, and no images")
    extractor, raw = extractor_of(protocol, options), of_protocol(protocol, options.data_root)
    size, channels = extractor.transform.data.size, protocol.data.channels
    first = next(pieces(raw.train, size, channels))
    width, pooling = extractor.check(first), extractor.pooling(first)
    facts = facts_of(extractor, pooling, options, protocol)
    inside = folder.is_relative_to(options.data_root)
    content = protocol_on(protocol, facts, width, folder.relative_to(options.data_root) if inside else Path(folder.name))
    digest, done = hashlib.sha256(), 0
    tensors, texts = read_texts(options.texts, len(raw.class_names), width) if options.texts else ({}, None)
    if texts is not None:
        content["data"]["texts"] = True
    for part, own, ids in zip(PARTS, (raw.train, raw.test), ids_of(raw, options.data_root).values(), strict=True):
        found = []
        for pixels in pieces(own, size, channels):
            digest.update(pixels.tobytes())
            found.append(extractor.features(pixels))
            done += len(pixels)
            print(f"\r{done} images", end="", file=sys.stderr, flush=True)
        digest.update("\n".join(ids).encode() + own.classes.astype("<i8").tobytes())
        tensors |= {part: torch.cat(found).numpy(), f"{part}_labels": own.classes.astype(np.int64), f"{part}_ids": packed_ids(ids)}
    print(file=sys.stderr)
    packed = save(tensors)
    sidecar = Sidecar(
        format=1,
        features=facts,
        sha256=hashlib.sha256(packed).hexdigest(),
        licence=options.licence,
        pillow=PIL.__version__,
        data=Origin(name=protocol.data.path or protocol.data.source, sha256=digest.hexdigest()),
        ordered=raw.keys is not None,
        class_names=raw.class_names,
        texts=texts,
    )
    paths = (folder / FILE, folder / SIDECAR, folder / f"{folder.name}.yaml")
    said = (json.dumps(sidecar.model_dump(mode="json"), indent=1), yaml.safe_dump(content, sort_keys=False, width=130))
    for path, written in zip(paths, (packed, *(text.encode() for text in said)), strict=True):
        write_atomic(path, written)
    return paths


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
    return Features(
        network=name + (f" (source {source_of(file)[:16]})" if file else ""),
        weights=sha256_file(extractor.weights),
        pooling=pooling,
        preparation=Preparation(size=data.size, resize="PIL, bilinear, to a square", mean=data.mean, std=data.std),
        l2=extractor.l2,
        pretrained=pretrained,
        novel_seen=options.novel_seen,
    )


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.tools.extract", description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument("--protocol", required=True, help="whose images are shown: a name of protocols/, or a path to a YAML file")
    p.add_argument("--out", type=a_folder, required=True, help="folder of the features, in the data root; its name is the new protocol's")
    p.add_argument("--novel-seen", choices=get_args(Seen), required=True, help="whether pre-training has seen the novel classes")
    p.add_argument("--backbone", help="the network: one of ours, torchvision:NAME, timm:NAME, module:NAME (default: the protocol's)")
    p.add_argument("--weights", help="with --backbone: its file in DATA_ROOT/weights, .safetensors or .pth of tensors alone")
    for name in ("--mean", "--std"):
        p.add_argument(name, type=float, nargs="+", metavar="X", help="of the images that the weights were trained on, one a channel")
    p.add_argument("--pretrained", help="with --backbone: the images that the weights were trained on, such as imagenet")
    p.add_argument("--licence", default="unknown", help="of the weights (default: unknown)")
    p.add_argument("--size", type=a_number, help="side of the images that the network sees (default: the protocol's)")
    p.add_argument("--texts", type=Path, nargs=2, metavar=("VECTORS", "FACTS"), help="text vectors, and how they were made (docs/DATA.md)")
    p.add_argument("--l2", action="store_true", help="divide each feature by its length")
    p.add_argument("--data-root", type=a_folder, default=os.environ.get("FSCIL_DATA") or "data", help="default: $FSCIL_DATA, or data")
    p.add_argument("--methods-dir", type=a_folder, help="folder of module:NAME")
    p.add_argument("--threads", type=a_number, default=1)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    options.out, options.data_root = options.out.resolve(), options.data_root.resolve()
    try:
        make_deterministic(threads_of(options))
        take_own_folder(options.methods_dir)
        for path in write_features(options):
            print(path)
        if not options.out.is_relative_to(options.data_root):
            note = f"a run looks for {options.out.name} in its data root: move the folder there, or give --data-root {options.out.parent}"
            print(note, file=sys.stderr)
    except (DataError, StorageError, UsageError, InputError) as error:
        print(f"extract: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
