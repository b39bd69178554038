"""miniImageNet in the split of FSCIL: all 100 classes, 500 training and 100 test images each (docs/methods.md 1.2).

Nobody may redistribute the images. Both layouts can be read from `<data root>/miniimagenet`:

    images/*.jpg with split/train.csv and split/test.csv (columns filename,label), as in the packages of CEC and its successors
    train/<wnid>/*.jpg and test/<wnid>/*.jpg, with the original file names

Sorted file names have the order of train.csv, so both layouts give the canonical shots.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.data.sources.class_names import names_in_test
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files
from benchmarks.data.sources.tree import find_tree, refuse_one_file_twice
from benchmarks.system.errors import DataError, NotHereError
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    folder = root / "miniimagenet"
    tree = find_tree(folder, "miniimagenet", ordered=True)
    if tree is not None:
        return tree
    lists = {part: folder / "split" / f"{part}.csv" for part in ("train", "test")}
    if not (folder / "images").is_dir() or not all(path.is_file() for path in lists.values()):
        raise NotHereError(
            f"miniimagenet: not found, and nobody may redistribute it. Put the FSCIL package (mini-imagenet of the CEC "
            f"repository) into {folder}: images/*.jpg, split/train.csv, split/test.csv; or train/<wnid>/ and test/<wnid>/."
        )
    rows = {part: read_list(path) for part, path in lists.items()}
    refuse_twice(rows)
    names = sorted({label for _, label in rows["train"]})
    of_test = names_in_test(f"miniimagenet: {lists['train']} and {lists['test']}", names, sorted({label for _, label in rows["test"]}))
    numbers = {of_test[label]: number for number, label in enumerate(names)} | {label: number for number, label in enumerate(names)}
    files = {part: [folder / "images" / filename for filename, _ in rows[part]] for part in rows}
    for file in files["train"] + files["test"]:
        if not file.is_file():
            raise DataError(f"miniimagenet: {file} is in the class lists, but there is no such image")
    refuse_one_file_twice("miniimagenet", files["train"] + files["test"])

    def read() -> RawSet:
        def part(which: str) -> RawPart:
            return RawPart(files[which], np.array([numbers[label] for _, label in rows[which]], dtype=np.int64))

        return RawSet(tuple(names), part("train"), part("test"), keys=[f"{label}/{filename}" for filename, label in rows["train"]])

    return Found(fingerprint_files(folder, [*lists.values(), *files["train"], *files["test"]]), read)


def refuse_twice(rows: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Raises DataError for an image that stands in two lines of the lists."""
    seen: dict[str, tuple[str, str]] = {}
    for part, lines in rows.items():
        for filename, label in lines:
            first = seen.setdefault(filename, (part, label))
            if first != (part, label):
                raise DataError(f"miniimagenet: {filename} is listed in {first[0]}.csv as {first[1]} and in {part}.csv as {label}")
    for part, lines in rows.items():
        if len({filename for filename, _ in lines}) < len(lines):
            twice = next(name for name, count in Counter(filename for filename, _ in lines).items() if count > 1)
            raise DataError(f"miniimagenet: {twice} is listed twice in {part}.csv")


def read_list(path: Path) -> list[tuple[str, str]]:
    """(filename, label) of every line. Raises DataError for another layout or a name that is not a plain file name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as source:
            lines = csv.DictReader(source)
            if lines.fieldnames is None or not {"filename", "label"} <= set(lines.fieldnames):
                raise DataError(f"{path}: the first line must be filename,label")
            rows = [(line["filename"], line["label"]) for line in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a list of names ({error})") from None
    for filename, label in rows:
        if not (filename and label):
            raise DataError(f"{path}: a line has no filename or no label")
        if Path(filename).name != filename or filename == ".." or "\0" in filename:
            raise DataError(f"{path}: {filename!r} is not a plain file name")
    return rows
