"""Stored features: `<data root>/<path>/features.safetensors`, and features.json, which says whose they are (docs/DATA.md).

Rows have ids, and the order of these is the order of the images: rows in another order are the same data set.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from benchmarks.data.sources.raw import Found, RawPart, RawSet, fingerprint_files
from benchmarks.data.sources.texts import Texts, checked_texts, text_tensors
from benchmarks.data.sources.vectors import SIDECAR, check_lengths, check_vectors
from benchmarks.system.errors import DataError, NotHereError
from benchmarks.system.files import sha256_file
from protocols.data import Data
from protocols.features import Features
from protocols.fields import MOST_CLASSES, Line, Sha256, Strict, once_each
from protocols.messages import explain, first_line
from protocols.reading import short

FILE = "features.safetensors"
PARTS = ("train", "test")
MOST_BYTES = 2**26
"""Of a sidecar, which holds little more than names of classes."""


class Origin(Strict):
    """The data set whose images were shown: its source, and a hash of pixels, labels and ids."""

    name: Line
    sha256: Sha256


class Sidecar(Strict):
    """What features.json states. `sha256` is that of features.safetensors; `ordered` says whether the ids' order is the original order of
    the files, which the splits canonical and lec need, and ids end with the files' names."""

    format: Literal[1]
    features: Features
    sha256: Sha256
    licence: Line = Field(description="of the weights; unknown is allowed")
    pillow: Line
    data: Origin
    ordered: bool
    class_names: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MOST_CLASSES), AfterValidator(once_each)]
    texts: Texts | None = None


def locate(data: Data, root: Path) -> Found:
    folder = root / str(data.path)
    for name in (FILE, SIDECAR):
        if not (folder / name).is_file():
            raise NotHereError(f"{folder / name} is missing; python -m benchmarks.tools.extract writes it (docs/DATA.md)")
    sidecar = read_sidecar(folder / SIDECAR)
    stated, said = data.model_dump(mode="json")["features"], sidecar.features.model_dump(mode="json")
    for key in stated:
        if stated[key] != said[key]:
            raise DataError(f"{folder / SIDECAR}: {key} is {short(said[key])}, and the protocol says {short(stated[key])}")
    if data.texts and sidecar.texts is None:
        raise DataError(f"{folder / SIDECAR}: tells of no text vectors, and the protocol says texts: true (docs/DATA.md)")
    files = [folder / name for name in (FILE, SIDECAR)]
    return Found(fingerprint_files(folder, files), lambda: read(folder, sidecar, data.channels, data.texts))


def read_sidecar(path: Path) -> Sidecar:
    """Raises DataError with the key that is wrong or missing."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"has more than {MOST_BYTES:,} bytes")
        return Sidecar.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise DataError(f"{path}: {explain(error, Sidecar)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON file of text ({first_line(error)})") from None


def read(folder: Path, sidecar: Sidecar, width: int, texts: bool = False) -> RawSet:
    """The features in the order of their ids, with text vectors if `texts`. Raises DataError."""
    path = folder / FILE
    if sha256_file(path) != sidecar.sha256:
        raise DataError(f"{path}: is not the file that {SIDECAR} describes (another SHA-256); write both again")
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:  # KeyError, TypeError: a type that numpy does not have
        raise DataError(f"{path}: is no file of tensors that can be read here ({type(error).__name__}: {first_line(error)})") from None
    try:
        raw = checked(tensors, sidecar, width)
        return raw if texts else replace(raw, texts=None)
    except ValueError as error:
        raise DataError(f"{path}: {first_line(error)}") from None


def checked(tensors: dict[str, NDArray[Any]], sidecar: Sidecar, width: int) -> RawSet:
    """The data set in these tensors: what each may hold is in docs/DATA.md. Raises ValueError."""
    needed = {f"{part}{ending}" for part in PARTS for ending in ("", "_labels", "_ids")} | text_tensors(sidecar.texts)
    if tensors.keys() != needed:
        raise ValueError(f"must hold the tensors {', '.join(sorted(needed))}, and holds {', '.join(sorted(tensors))}")
    classes = len(sidecar.class_names)
    for name in PARTS:
        check_vectors(name, tensors[name], (*(tensors[name].shape[:1] or (0,)), width))
    texts = checked_texts(tensors, classes, width) if sidecar.texts else None
    ids = {part: ids_of(part, tensors) for part in PARTS}
    if len({*ids["train"], *ids["test"]}) != len(ids["train"]) + len(ids["test"]):
        raise ValueError("two rows have the same id")
    for part in PARTS:
        check_lengths(part, tensors[part], sidecar.features.l2)
    parts: dict[str, RawPart] = {}
    for part in PARTS:
        labels = tensors[f"{part}_labels"]
        if labels.dtype != np.int64 or not (labels.min(initial=0) >= 0 and labels.max(initial=0) < classes):
            raise ValueError(f"{part}_labels must be int64 from 0 to {classes - 1}, one of the {classes} class names each")
        numbers = [number_of(name) for name in ids[part]]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"{part}: two ids begin with the same number")
        order = np.argsort(np.array(numbers, dtype=np.int64))
        parts[part] = RawPart(tensors[part][order], labels[order])
    keys = file_names_in_order(ids["train"]) if sidecar.ordered else None
    return RawSet(sidecar.class_names, parts["train"], parts["test"], keys, texts)


def ids_of(part: str, tensors: dict[str, NDArray[Any]]) -> list[str]:
    """The ids of a part's rows, in the order of the file. Raises ValueError."""
    rows, count = tensors[f"{part}_ids"], len(tensors[part])
    if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != count or tensors[f"{part}_labels"].shape != (count,):
        raise ValueError(
            f"{part}, {part}_labels and {part}_ids must have a row each for the same {count} images; ids are uint8 [N, length]"
        )
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


def number_of(name: str) -> int:
    """The number of an image, with which its id begins. Raises ValueError."""
    number = name.partition(" ")[0]
    if not (number.isdecimal() and number.isascii() and len(number) <= 18):
        raise ValueError(f"the id {short(name)} does not begin with the number of its image, and a space if a name follows")
    return int(number)


def file_names_in_order(ids: list[str]) -> list[str]:
    """The files' names, which follow the numbers, in the order of these. Raises ValueError where one is missing."""
    names = [name.partition(" ")[2] for name in sorted(ids, key=number_of)]
    if not all(names):
        raise ValueError("ordered: true, and an id has no name of a file after its number")
    return names


def packed_ids(ids: list[str]) -> NDArray[np.uint8]:
    """Ids as uint8 [N, length], filled up with zeros."""
    encoded = [name.encode() for name in ids]
    length = max(map(len, encoded), default=1)
    return np.frombuffer(b"".join(one.ljust(length, b"\0") for one in encoded), dtype=np.uint8).reshape(len(ids), length)
