"""Images in class folders: `train/<class>/*` and `test/<class>/*`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.data.sources.class_names import names_in_test
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fetch, fingerprint_files
from benchmarks.system.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"}
PARTS = ("train", "test")


@dataclass
class LeftOut:
    """What lies in a class tree and is not read: files that are no images by their name, folders in class folders, hidden entries."""

    name: str
    entries: list[Path] = field(default_factory=list)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line with the count; none if everything was read."""
        if not self.entries:
            return ()
        first = self.entries[0]
        many = f"{len(self.entries)} entries are" if len(self.entries) > 1 else "1 entry is"
        return (f"{self.name}: {many} left out, no images by their names or not in place: {first.parent.name}/{first.name}",)


def find_tree(folder: Path, name: str, ordered: bool = False, inverted: bool = False) -> Found | None:
    """Finds `folder/train/<class>/*` and `folder/test/<class>/*`, classes in sorted order; None if there is no such tree.

    Classes whose names are all plain numbers are sorted as numbers. `ordered`: sorted file names are the original order, so that
    keys `<class>/<file>` are given. `inverted`: the images are dark on light. Raises DataError for a tree without classes or images,
    with a class in only one of train/ and test/, or with one file in two places.
    """
    parts = {part: folder / part for part in PARTS}
    if not all(path.is_dir() for path in parts.values()):
        return None
    left_out = LeftOut(name)
    classes = {part: class_names(path, left_out) for part, path in parts.items()}
    of_test = names_in_test(f"{name}: {folder}", classes["train"], classes["test"])
    classes["test"] = [of_test[class_name] for class_name in classes["train"]]
    if not classes["train"]:
        raise DataError(f"{name}: {folder}/train has no class folders")
    files = {part: [image_files(path / c, left_out) for c in classes[part]] for part, path in parts.items()}
    for part, path in parts.items():
        for class_name, of_class in zip(classes[part], files[part], strict=True):
            if not of_class:
                raise DataError(f"{name}: {path / class_name} holds no image")
    everything = [file for of_part in files.values() for of_class in of_part for file in of_class]
    refuse_one_file_twice(name, everything)

    def read() -> RawSet:
        def part(which: str) -> RawPart:
            numbers = np.repeat(np.arange(len(files[which])), [len(of_class) for of_class in files[which]])
            return RawPart([file for of_class in files[which] for file in of_class], numbers, inverted)

        keys = [f"{f.parent.name}/{f.name}" for of_class in files["train"] for f in of_class] if ordered else None
        return RawSet(tuple(classes["train"]), part("train"), part("test"), keys)

    return Found(fingerprint_files(folder, everything), read, left_out.lines)


def class_names(folder: Path, left_out: LeftOut) -> list[str]:
    """Names of the class folders, in order."""
    names = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            names.append(entry.name)
        else:
            left_out.entries.append(entry)
    return in_order(names)


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted by letters; by number where all of them are plain numbers."""
    names = sorted(names)
    numbered = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=int) if numbered else names


def image_files(folder: Path, left_out: LeftOut) -> list[Path]:
    """Image files of a class folder, sorted by name."""
    files = []
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and not entry.is_dir():
            files.append(entry)
        else:
            left_out.entries.append(entry)
    return files


def refuse_one_file_twice(name: str, files: Sequence[Path]) -> None:
    """Raises DataError for a file that stands in two places, by a link of any kind: as a training and a test image, or in two classes."""
    seen: dict[tuple[int, int], Path] = {}
    for file in files:
        facts = os.stat(file)  # noqa: PTH116  # faster, over 60,000 files
        first = seen.setdefault((facts.st_dev, facts.st_ino), file)
        if first is not file:
            raise DataError(f"{name}: {first} and {file} are one file; an image may stand in one class and on one side only")


def tree_or_fetch(folder: Path, download: Callable[[], object], advice: str, inverted: bool = False) -> Found | None:
    """The class tree in `folder`. If there is none, downloads the original files and returns None. Raises DataError."""
    tree = find_tree(folder, folder.name, inverted=inverted)
    if tree is None:
        fetch(folder.name, folder.parent, download, advice)
    return tree
