"""MNIST (LeCun et al., 1998), from the original idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data.sources.archives import fetch_archive, unzip_file
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files, whole
from benchmarks.data.sources.tree import tree_or_fetch
from protocols.schema import Data

PARTS = ("train", "t10k")
FILES = [f"{part}-{what}" for part in PARTS for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def locate(data: Data, root: Path) -> Found:
    folder = root / "MNIST" / "raw"
    if not all((folder / name).is_file() for name in FILES):
        tree = tree_or_fetch(
            root / "mnist",
            lambda: download(folder),
            f"Fetch the four idx files (train-images-idx3-ubyte and so on) and put them into {folder}.",
        )
        if tree is not None:
            return tree

    def read() -> RawSet:
        train, test = (read_part(folder, part) for part in PARTS)
        return RawSet(tuple(map(str, range(10))), train, test, keys=[str(row) for row in range(len(train.classes))])

    return Found(fingerprint_files(root, [folder / name for name in FILES]), whole("mnist", folder, read))


def read_part(folder: Path, part: str) -> RawPart:
    """Reads the idx files directly, because torchvision's data set would prefer an old `processed` folder. Raises ValueError."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    images = read_image_file(str(folder / f"{part}-images-idx3-ubyte")).numpy()
    classes = read_label_file(str(folder / f"{part}-labels-idx1-ubyte")).numpy().astype(np.int64)
    if len(images) != len(classes) or set(np.unique(classes)) != set(range(10)):
        raise ValueError(f"{part}: images and labels do not go together")
    return RawPart(images, classes)


def download(folder: Path) -> None:
    """Download the missing files. Each is verified before it is unpacked."""
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        file = folder / name.removesuffix(".gz")
        if not file.is_file():
            unzip_file(fetch_archive([mirror + name for mirror in MNIST.mirrors], md5, folder), file)
