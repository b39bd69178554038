"""MNIST (LeCun et al., 1998), from the original idx files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sources.raw import Found, RawPart, RawSet, fingerprint_files, tree_or_fetch, whole
from protocols.schema import Data

FILES = [f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def locate(data: Data, root: Path) -> Found:
    folder = root / "MNIST" / "raw"
    if not all((folder / name).is_file() for name in FILES):
        tree = tree_or_fetch(
            root / "mnist",
            lambda: open_part(root, train=True, download=True),
            f"Fetch the four idx files (train-images-idx3-ubyte and so on) and put them into {folder}.",
        )
        if tree is not None:
            return tree

    def read() -> RawSet:
        def part(train: bool) -> RawPart:
            stored = open_part(root, train, download=False)
            return RawPart(stored.data.numpy(), stored.targets.numpy().astype(np.int64))

        train = part(True)
        return RawSet(tuple(map(str, range(10))), train, part(False), keys=[str(row) for row in range(len(train.classes))])

    return Found(fingerprint_files(root, [folder / name for name in FILES]), whole("mnist", folder, read))


def open_part(root: Path, train: bool, download: bool) -> Any:
    from torchvision.datasets import MNIST

    return MNIST(str(root), train=train, download=download)
