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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import PIL
import torch
import yaml
from safetensors.numpy import save

from benchmarks.data.images import decode, found_files
from benchmarks.data.sources.features import FILE, PARTS, SIDECAR, Origin, Sidecar, checked, packed_ids
from benchmarks.data.sources.raw import Pixels, RawPart, RawSet
from benchmarks.data.sources.texts import read_texts
from benchmarks.system.device import make_deterministic
from benchmarks.system.errors import DataError, StorageError, UsageError
from benchmarks.system.files import write_atomic
from benchmarks.system.settings import a_folder, a_number, threads_of
from benchmarks.tools.extractor import extractor_of, facts_of
from protocols.features import Seen
from protocols.loading import load_protocol
from protocols.messages import first_line
from protocols.on_features import protocol_on
from protocols.own_folder import take_own_folder
from protocols.reading import InputError
from protocols.schema import Protocol

BATCH = 32


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
    tensors, texts = read_texts(options.texts, raw.class_names, width) if options.texts else ({}, None)
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
    try:
        checked(tensors, sidecar, width)
    except ValueError as error:
        raise DataError(f"{extractor.name}: {first_line(error)}") from None
    paths = (folder / FILE, folder / SIDECAR, folder / f"{folder.name}.yaml")
    said = (json.dumps(sidecar.model_dump(mode="json"), indent=1), yaml.safe_dump(content, sort_keys=False, width=130))
    for path, written in zip(paths, (packed, *(text.encode() for text in said)), strict=True):
        write_atomic(path, written)
    return paths


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.tools.extract", description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument("--protocol", required=True, help="whose images are shown: a name of protocols/, or a path to a YAML file")
    p.add_argument("--out", type=a_folder, required=True, help="folder of the features, in the data root; its name is the new protocol's")
    p.add_argument("--novel-seen", choices=get_args(Seen), required=True, help="whether pre-training has seen the novel classes")
    p.add_argument("--backbone", help="the network: one of ours, torchvision:NAME, timm:NAME, module:NAME (default: the protocol's)")
    p.add_argument("--weights", help="with --backbone: its file in DATA_ROOT/weights, .safetensors or .pth of tensors alone")
    for name in ("--mean", "--std"):
        p.add_argument(name, type=float, nargs="+", metavar="X", help="with --backbone: of the images that its weights were trained on")
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
