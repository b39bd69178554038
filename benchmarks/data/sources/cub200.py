"""CUB-200-2011 (Wah et al., 2011) with its official train/test split, in the order of images.txt."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np

from benchmarks.data.sources.archives import fetch_folder
from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files
from benchmarks.data.sources.tree import tree_or_fetch
from benchmarks.system.errors import DataError
from protocols.schema import Data

FOLDER = "CUB_200_2011"
ARCHIVE = f"{FOLDER}.tgz"
MD5 = "97eceeb196236b17998738112f37df78"
URL = f"https://data.caltech.edu/records/65de6-vp158/files/{ARCHIVE}"
LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


def locate(data: Data, root: Path) -> Found:
    folder = root / FOLDER
    if not folder.is_dir():
        tree = tree_or_fetch(root / "cub200", lambda: download(root), f"Fetch {ARCHIVE} (md5 {MD5}) from {URL} and unpack it in {root}.")
        if tree is not None:
            return tree
    for name in LISTS:
        if not (folder / name).is_file():
            raise DataError(f"cub200: {folder / name} is missing; unpack {ARCHIVE} anew")
    names = read_table(folder / "classes.txt")
    wanted = data.classes or len(names)
    paths, labels, splits = (read_table(folder / name) for name in LISTS[:3])
    if not paths.keys() == labels.keys() == splits.keys():
        raise DataError(f"cub200: the lists of {folder} name different images; unpack {ARCHIVE} anew")
    if not all(re.fullmatch("[1-9][0-9]{0,3}", value) for value in labels.values()) or not set(splits.values()) <= {"0", "1"}:
        raise DataError(f"cub200: {folder / LISTS[1]} or {LISTS[2]} is damaged; unpack {ARCHIVE} anew")
    chosen = [key for key in paths if int(labels[key]) <= wanted]
    if len(names) < wanted or not chosen or max(int(labels[key]) for key in chosen) < wanted:
        remedy = f"unpack {ARCHIVE} anew, or ask for fewer (data.classes in a protocol file of your own)"
        raise DataError(f"cub200: {folder} lists only {len(names)} of the {wanted} classes asked for; {remedy}")
    files = {key: inside(folder / "images", paths[key], LISTS[0]) for key in chosen}
    for file in files.values():
        if not file.is_file():
            raise DataError(f"cub200: {file} is missing; unpack {ARCHIVE} anew (images of {wanted} classes are needed)")

    def read() -> RawSet:
        def part(flag: str) -> RawPart:
            keys = [key for key in chosen if splits[key] == flag]
            return RawPart([files[key] for key in keys], np.array([int(labels[key]) - 1 for key in keys], dtype=np.int64))

        keys = [paths[key] for key in chosen if splits[key] == "1"]
        return RawSet(tuple(list(names.values())[:wanted]), part("1"), part("0"), keys)

    return Found(fingerprint_files(folder, [*(folder / name for name in LISTS), *files.values()]), read)


def inside(folder: Path, name: str, listed_in: str) -> Path:
    """Returns `folder/name`. Raises DataError if the name leads out of the folder (links inside it are not checked)."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DataError(f"cub200: {listed_in} names {name!r}, outside {folder}; unpack {ARCHIVE} anew")
    return folder / path


def read_table(path: Path) -> dict[str, str]:
    """Reads lines `<id> <value>` into a dictionary in file order. Raises DataError."""
    try:
        rows = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"cub200: {path} is not text; unpack {ARCHIVE} anew") from None
    if any(len(row) != 2 for row in rows):
        raise DataError(f"cub200: {path} has a line without two columns; unpack {ARCHIVE} anew")
    table = {key: value.strip() for key, value in rows}
    if len(table) != len(rows):
        raise DataError(f"cub200: {path} has two lines of one number; unpack {ARCHIVE} anew")
    return table


def download(root: Path) -> None:
    fetch_folder([URL], MD5, FOLDER, root)
