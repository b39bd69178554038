"""Features of a protocol's images, written as a data set of its own, with a protocol on them (docs/DATA.md)."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import torch
import yaml
from rich.console import Console
from rich.progress import track
from safetensors.numpy import save

from benchmarks.data.images import decode, found_files
from benchmarks.data.sources.features import FILE, PARTS, SIDECAR, Origin, Sidecar, checked, packed_ids
from benchmarks.data.sources.raw import Pixels, RawPart, RawSet
from benchmarks.data.sources.texts import read_texts
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.files import write_atomic
from benchmarks.tools.extractor import extractor_of, facts_of
from protocols.loading import load_protocol
from protocols.messages import first_line
from protocols.on_features import protocol_on
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
    digest, console = hashlib.sha256(), Console(file=sys.stderr)
    tensors, texts = read_texts(options.texts, raw.class_names, width) if options.texts else ({}, None)
    if texts is not None:
        content["data"]["texts"] = True
    for part, own, ids in zip(PARTS, (raw.train, raw.test), ids_of(raw, options.data_root).values(), strict=True):
        found = []
        batches = math.ceil(len(own.images) / BATCH)
        for pixels in track(pieces(own, size, channels), f"{part}, {len(own.images):,} images", batches, console=console):
            digest.update(pixels.tobytes())
            found.append(extractor.features(pixels))
        digest.update("\n".join(ids).encode() + own.classes.astype("<i8").tobytes())
        tensors |= {part: torch.cat(found).numpy(), f"{part}_labels": own.classes.astype(np.int64), f"{part}_ids": packed_ids(ids)}
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
