"""MNIST (LeCun et al., 1998), from the original idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sources.raw import Found, RawPart, RawSet, fetch, find_tree, fingerprint_files
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    folder = root / "MNIST" / "raw"
    if not any(folder.glob("train-images*")):
        tree = find_tree(root / "mnist", "mnist")
        if tree is not None:
            return tree
        fetch(
            "mnist",
            lambda: open_part(root, train=True, download=True),
            f"Fetch the four idx files (train-images-idx3-ubyte and so on) and put them into {folder}.",
        )

    def read() -> RawSet:
        parts = [open_part(root, train=part, download=False) for part in (True, False)]
        raw = [RawPart(part.data.numpy(), part.targets.numpy().astype(np.int64)) for part in parts]
        return RawSet(tuple(str(digit) for digit in range(10)), *raw, keys=[str(row) for row in range(len(parts[0]))])

    return Found(fingerprint_files(root, sorted(folder.glob("*-ubyte"))), read)


def open_part(root: Path, train: bool, download: bool):
    from torchvision.datasets import MNIST

    return MNIST(str(root), train=train, download=download)
