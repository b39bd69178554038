"""Images of pseudo-sessions: base training images only, part of them held out as test images (docs/methods.md 1.7)."""

from __future__ import annotations

import numpy as np

from benchmarks.data.images import ImageSet
from benchmarks.data.splits import make_split
from benchmarks.system.errors import DataError
from benchmarks.system.hashes import indices_sha256
from benchmarks.system.streams import stream
from protocols.schema import Protocol

HELD_OUT = 0.1  # fraction of a class's training images, but at least HELD_OUT_AT_LEAST images
HELD_OUT_AT_LEAST = 3


def pseudo_images(protocol: Protocol, images: ImageSet, split_name: str, seed: int) -> ImageSet:
    """The base training images, part of them held out as test images; classes are numbered in order of arrival."""
    split = make_split(protocol, split_name, seed, images.train_classes, images.test_classes, images.keys)
    labels = split.labels(images.train_classes)
    train, test = [], []
    for label in protocol.sessions.span(0):
        rows = stream(seed, f"held-out/{label}").permutation(np.flatnonzero(labels == label))
        held_out = max(HELD_OUT_AT_LEAST, round(HELD_OUT * len(rows)))
        if held_out >= len(rows):
            name = images.class_names[split.order[label]]
            raise DataError(f"{protocol.name}: class {name} has {len(rows)} training images; {held_out} are held out, and none is left")
        test.append(np.sort(rows[:held_out]))
        train.append(np.sort(rows[held_out:]))
    train_rows, test_rows = np.concatenate(train), np.concatenate(test)
    shown, plain = images.training(train_rows)
    return ImageSet(
        class_names=tuple(images.class_names[number] for number in split.order[: protocol.sessions.base]),
        train=shown,
        plain=plain,
        test=images.plain[test_rows],
        train_classes=labels[train_rows],
        test_classes=labels[test_rows],
        keys=None,
        texts=images.texts and images.texts.of(split.order[: protocol.sessions.base]),
        sha256=f"{images.sha256} pseudo {indices_sha256([train_rows, test_rows])}",
    )
