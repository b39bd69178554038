"""Class order and shots for a protocol and a seed. Pure functions of NumPy: no files, no global generator.

Four named splits (docs/methods.md 1.2-1.4):

    paper            order and shots drawn for every seed, as "ten seeds" in LEC-Net's text. The default.
    canonical        label order, and the five shots per class that TOPIC, CEC, FACT, TEEN and SAVC share; checked against a hash.
    canonical-order  label order, shots drawn per seed: for images read from folders, where the original file order is lost.
    lec              LEC-Net's ten released CUB orders (Python's shuffle, seeds 1..10) with its own choice of shots.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.hashes import indices_sha256, order_sha256
from benchmarks.system.streams import stream
from protocols.schema import Protocol

Indices = NDArray[np.int64]

LEC_SHOT_SEED = 123  # docs/methods.md 1.4: one generator, seeded once, over the new classes in ascending label order
LEC_CLASSES = 200
LEC_SEEDS = 10
MOST_FOLDS = 5


@dataclass(frozen=True)
class Split:
    """The class order, and the images of each session.

    `order[k]` is the data set's own class number of label k; labels are positions in the order of arrival.
    `train[t]` and `test[t]` are the indices of the training and test images that session t adds.
    """

    name: str
    order: tuple[int, ...]
    base_classes: int
    train: tuple[Indices, ...]
    test: tuple[Indices, ...]

    @property
    def order_sha256(self) -> str:
        return order_sha256(self.order)

    @property
    def indices_sha256(self) -> str:
        """Hash of all training and test image indices, session by session."""
        return indices_sha256([*self.train, *self.test])

    @property
    def base_sha256(self) -> str:
        """Hash of the base session: its classes in order, and the indices of its training images."""
        return indices_sha256([np.array(self.order[: self.base_classes]), self.train[0]])

    def without_held_out(self, train_classes: Indices, seed: int) -> tuple[Split, Indices]:
        """The split without a tenth of each base class's training images (at least one), and these, ascending (docs/methods.md 1.7).

        Raises DataError for a class with one image: sessions leave one of each new class out in turn.
        """
        base, held = self.train[0], []
        for session, indices in enumerate(self.train[1:], start=1):
            numbers, counts = np.unique(train_classes[indices], return_counts=True)
            if counts.size and counts.min() < 2:
                raise DataError(
                    f"selection val leaves images of every class out, and class {numbers[counts.argmin()]} has one in session {session}"
                )
        for number in self.order[: self.base_classes]:
            own = base[train_classes[base] == number]
            if len(own) < 2:
                raise DataError(f"selection val holds images of every base class out, and class {number} has {len(own)}")
            held.append(stream(seed, f"held-out/class{number}").choice(own, max(1, len(own) // 10), replace=False))
        out = np.sort(np.concatenate(held))
        return replace(self, train=(base[~np.isin(base, out)], *self.train[1:])), out

    def labels(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Maps the data set's class numbers to labels; -1 for a class that is not in this split."""
        table = np.full(max(int(classes.max()), max(self.order)) + 1, -1, dtype=np.int64)
        table[list(self.order)] = np.arange(len(self.order))
        return table[classes]


def folds(indices: Indices, labels: Indices) -> list[Indices]:
    """Of a session under selection val, the images to leave out in each fold: in fold k, of every class those whose position among its
    own is k modulo the folds."""
    count = min(MOST_FOLDS, *(int((labels == label).sum()) for label in np.unique(labels)))
    position = np.empty(len(indices), dtype=np.int64)
    for label in np.unique(labels):
        position[labels == label] = np.arange(int((labels == label).sum()))
    return [indices[position % count == fold] for fold in range(count)]


def class_order(protocol: Protocol, classes: int, split: str, seed: int) -> tuple[int, ...]:
    """The first `sessions.classes` classes in order of arrival, out of the data set's `classes` classes.

    All classes are permuted before the order is cut, so that a protocol with more sessions starts with the same classes.
    Raises DataError if the data set has too few classes, UsageError for a seed or data set that split `lec` does not cover.
    """
    needed = protocol.sessions.classes
    if needed > classes:
        remedy = "complete it, or write a protocol with fewer (docs/DATA.md)"
        raise DataError(f"{protocol.name}: its sessions need {needed} classes, but the data set has {classes}; {remedy}")
    if split == "paper":
        return tuple(int(c) for c in stream(seed, "class-order").permutation(classes)[:needed])
    if split == "lec":
        if seed >= LEC_SEEDS:
            raise UsageError(f"split lec has ten released orders, seeds 0-9 (LEC's 1..10); there is no seed {seed}")
        if classes != LEC_CLASSES:
            raise UsageError(f"{protocol.name}: split lec is of CUB's {LEC_CLASSES} classes, the data set has {classes}; take another")
        order = list(range(classes))
        random.Random(seed + 1).shuffle(order)
        return tuple(order[:needed])
    return tuple(range(needed))


def draw_shots(indices: Indices, shots: int, split: str, seed: int, number: int, lec: random.Random) -> Indices:
    """Draws `shots` of the image `indices` of one class, given in file order. `number` is its class number. Raises DataError."""
    if shots > len(indices):
        raise DataError(f"class {number} has {len(indices)} training images, but {shots} shots are asked for")
    if split == "canonical":  # the legacy generator, reseeded for every class: docs/methods.md 1.3
        return indices[np.random.RandomState(1).choice(len(indices), shots, replace=False)]
    if split == "lec":
        return np.array(lec.sample(indices.tolist(), shots), dtype=np.int64)
    return np.sort(stream(seed, f"shots/class{number}").choice(indices, shots, replace=False))


def make_split(
    protocol: Protocol,
    split: str,
    seed: int,
    train_classes: NDArray[np.int64],
    test_classes: NDArray[np.int64],
    keys: list[str] | None = None,
) -> Split:
    """The split of that name and seed. `train_classes` and `test_classes` hold the class number of each image.

    `keys` name the training images in their original file order. None means that this order is lost, so that the canonical
    shots are not available. Raises UsageError for a split that the protocol does not offer, DataError for images that do not
    fit it.
    """
    if split not in protocol.splits:
        raise UsageError(f"{protocol.name} has no split {split!r}; it has: {', '.join(protocol.splits)}")
    if split in ("canonical", "lec") and keys is None:
        raise DataError(
            f"split {split} needs the images in their original file order, which a folder of images has lost; "
            f"use --split canonical-order, or fetch the original archive (docs/DATA.md)"
        )
    sessions = protocol.sessions
    order = class_order(protocol, int(train_classes.max()) + 1, split, seed)
    lec = random.Random(LEC_SHOT_SEED)
    train: list[Indices] = []
    test: list[Indices] = []
    for session in range(sessions.count + 1):
        numbers = [order[label] for label in sessions.span(session)]
        test.append(np.flatnonzero(np.isin(test_classes, numbers)))
        if session == 0 or sessions.shots == "all":
            train.append(np.flatnonzero(np.isin(train_classes, numbers)))
            continue
        drawn = [draw_shots(np.flatnonzero(train_classes == n), sessions.shots, split, seed, n, lec) for n in numbers]
        train.append(np.concatenate(drawn))
    result = Split(split, order, sessions.base, tuple(train), tuple(test))
    check_images(protocol, result, train_classes, test_classes)
    check_counts(protocol, train_classes, test_classes)
    published = protocol.canonical.shots_sha256 if protocol.canonical else None
    if split == "canonical" and published not in (None, canonical_sha256(result, keys or [])):
        raise DataError(f"{protocol.name}: the canonical shots do not match the published lists: another file order")
    return result


def check_images(protocol: Protocol, split: Split, train_classes: Indices, test_classes: Indices) -> None:
    """Raises DataError unless every class of the split has training and test images."""
    for what, classes in (("training", train_classes), ("test", test_classes)):
        missing = sorted(set(split.order) - set(np.unique(classes).tolist()))
        if missing:
            raise DataError(f"{protocol.name}: no {what} images of {len(missing)} classes, the first is number {missing[0]}")


def canonical_sha256(split: Split, keys: list[str]) -> str:
    """Hash of the names of the shots, session by session, sorted within each (their order has no meaning)."""
    lines = [" ".join(sorted(keys[row] for row in indices)) for indices in split.train[1:]]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_counts(protocol: Protocol, train_classes: Indices, test_classes: Indices) -> None:
    """Raises DataError unless the first base classes have as many images as published (docs/methods.md 1.1). Used for every split.

    A wrong CUB variant is in circulation, with 4,693 training and 1,171 test images.
    """
    facts = protocol.canonical
    if facts is None:
        return
    base = protocol.sessions.base
    counts = int((train_classes < base).sum()), int((test_classes < base).sum())
    if counts != (facts.base_train, facts.base_test):
        raise DataError(
            f"{protocol.name}: the canonical base session has {facts.base_train} training and {facts.base_test} test "
            f"images, these files give {counts[0]} and {counts[1]}: another variant of the data set"
        )
