"""Omniglot (Lake et al., Science 2015): 1,623 characters, each drawn once by 20 people.

Drawings 1-10 of each character are training images, 11-20 test images, so that the test covers unseen writers. Background
characters come first, then evaluation characters, both in sorted order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data.sources.archives import fetch_folder
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files
from benchmarks.data.sources.tree import tree_or_fetch
from benchmarks.system.errors import DataError
from protocols.schema import Data

TRAINING_DRAWINGS = 10
DRAWINGS = 20


def locate(data: Data, root: Path) -> Found:
    candidates = [root / "omniglot-py", root / "omniglot"]  # torchvision's folder, and the folder for manually unpacked archives
    folder = next((c for c in candidates if (c / "images_background").is_dir() and (c / "images_evaluation").is_dir()), None)
    if folder is None:
        tree = tree_or_fetch(
            root / "omniglot",
            lambda: download(root),
            f"Fetch images_background.zip and images_evaluation.zip of the Omniglot repository and unpack both in {candidates[1]}.",
            inverted=True,
        )
        if tree is not None:
            return tree
        folder = candidates[0]
    characters = [
        character
        for part in ("images_background", "images_evaluation")
        for alphabet in sorted((folder / part).glob("*"))
        for character in sorted(alphabet.glob("character*"))
    ]
    drawings = [sorted(character.glob("[!.]*.png")) for character in characters]  # a Mac leaves ._0001.png beside each
    for character, of_character in zip(characters, drawings, strict=True):
        if len(of_character) != DRAWINGS:
            raise DataError(f"omniglot: {character} holds {len(of_character)} drawings instead of {DRAWINGS}")

    def read() -> RawSet:
        def part(which: slice) -> RawPart:
            chosen = [of_character[which] for of_character in drawings]
            numbers = np.repeat(np.arange(len(chosen)), [len(of_character) for of_character in chosen])
            return RawPart([file for of_character in chosen for file in of_character], numbers, inverted=True)

        names = tuple(f"{character.parent.name}/{character.name}" for character in characters)
        return RawSet(names, part(slice(TRAINING_DRAWINGS)), part(slice(TRAINING_DRAWINGS, None)))

    return Found(fingerprint_files(folder, [file for of_character in drawings for file in of_character]), read)


def download(root: Path) -> None:
    from torchvision.datasets import Omniglot

    folder = root / Omniglot.folder
    for name, md5 in Omniglot.zips_md5.items():
        fetch_folder([f"{Omniglot.download_url_prefix}/{name}.zip"], md5, name, folder)
