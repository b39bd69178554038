"""Pictures with exactly the same pixels: as training and as test images, or in two classes. They are counted, never refused, since
CIFAR-100 and miniImageNet hold some themselves."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.images import ImageSet
from benchmarks.data.sources.raw import Pixels

SAMPLE = 64  # pixels that are compared first


def equal_pictures(images: ImageSet) -> tuple[str, ...]:
    """One line with the counts, at the size that the network sees; none if no two pictures are equal in this way."""
    group = equal_groups([images.plain, images.test])
    of_test = np.arange(len(group)) >= len(images.plain)
    classes = np.concatenate([images.train_classes, images.test_classes])
    shared = np.intersect1d(group[of_test], group[~of_test])
    pairs = np.unique(np.stack([group, classes])[:, group >= 0], axis=1)
    of_two_classes = np.flatnonzero(np.bincount(pairs[0]) > 1) if pairs.size else np.array([], dtype=np.int64)
    said, what = [], "pixels" if images.plain.dtype == np.uint8 else "numbers"
    if count := int((np.isin(group, shared[shared >= 0]) & ~of_test).sum()):
        said.append(f"{count} training image{'s have' if count > 1 else ' has'} exactly the {what} of a test image")
    if count := int(np.isin(group, of_two_classes).sum()):
        said.append(f"{count} images with equal {what} stand in two classes")
    return (f"{', '.join(said)}; used as they are",) if said else ()


def equal_groups(parts: list[Pixels]) -> NDArray[np.int64]:
    """For every picture [C, S, S] of the parts, one part after the other: the number of its group of equal pictures, -1 if it is alone.

    Only pictures that agree in a few pixels, spread over the picture, are compared whole, by their hashes.
    """
    flat = [np.asarray(part).reshape(len(part), -1).view(np.uint8) for part in parts]  # rows of a memory map are slow to take
    step = max(1, flat[0].shape[1] // SAMPLE)
    samples = np.concatenate([part[:, ::step] for part in flat]).astype(np.uint64)
    weights = np.random.default_rng(0).integers(2**63, size=samples.shape[1], dtype=np.uint64)
    _, kind, counts = np.unique(samples @ weights, return_inverse=True, return_counts=True)
    pictures = [picture for part in flat for picture in part]
    members: dict[bytes, list[int]] = {}
    for index in np.flatnonzero(counts[kind] > 1).tolist():
        members.setdefault(hashlib.blake2b(pictures[index].tobytes(), digest_size=16).digest(), []).append(index)
    group = np.full(len(pictures), -1, dtype=np.int64)
    for number, equal in enumerate(own for own in members.values() if len(own) > 1):
        group[equal] = number
    return group
