"""CIFAR-100 (Krizhevsky, 2009): the python archive, whose order the canonical shots refer to, or a folder tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.sources.archives import fetch_folder
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files, whole
from benchmarks.data.sources.tree import tree_or_fetch
from protocols.schema import Data

FOLDER = "cifar-100-python"


def locate(data: Data, root: Path) -> Found:
    folder = root / FOLDER
    if not folder.is_dir():
        tree = tree_or_fetch(
            root / "cifar100",
            lambda: download(root),
            f"Fetch {FOLDER}.tar.gz from the CIFAR page and unpack it in {root}, "
            f"or put images into {root}/cifar100/train/<class>/ and test/<class>/.",
        )
        if tree is not None:
            return tree

    def read() -> RawSet:
        train, test = (open_part(root, train=part) for part in (True, False))
        raw = [RawPart(part.data, np.asarray(part.targets, dtype=np.int64)) for part in (train, test)]
        return RawSet(tuple(train.classes), raw[0], raw[1], keys=[str(row) for row in range(len(train.data))])

    return Found(fingerprint_files(root, sorted(folder.glob("[mt]*"))), whole("cifar100", folder, read))


def open_part(root: Path, train: bool) -> Any:
    """torchvision's data set. Its files are pickles; torchvision verifies the MD5 of all of them before it reads any."""
    from torchvision.datasets import CIFAR100

    return CIFAR100(str(root), train=train, download=False)


def download(root: Path) -> None:
    from torchvision.datasets import CIFAR100

    fetch_folder([CIFAR100.url], CIFAR100.tgz_md5, FOLDER, root)
