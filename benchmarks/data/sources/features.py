"""Stored features: `<data root>/<path>/features.safetensors`, and features.json, which says whose they are (docs/DATA.md).

Rows have ids, and the order of these is the order of the images: rows in another order are the same data set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file

from benchmarks.data.sources.raw import Found, RawPart, RawSet, TextVectors, fingerprint_files
from benchmarks.system.errors import DataError, NotHereError
from benchmarks.system.files import sha256_file
from protocols.data import Data
from protocols.features import Features
from protocols.fields import MOST_CLASSES, Line, Sha256, Strict, once_each
from protocols.messages import explain, first_line
from protocols.reading import short

FILE, SIDECAR = "features.safetensors", "features.json"
PARTS = ("train", "test")
TEXT, DESCRIPTIONS = "text", "descriptions"
MOST_BYTES = 2**26
"""Of a sidecar, which holds little more than names of classes."""
ROUNDING = 1e-3
"""Largest distance from 1 of the length of a normalised feature."""


class Origin(Strict):
    """The data set whose images were shown: its source, and a hash of pixels, labels and ids."""

    name: Line
    sha256: Sha256


class Texts(Strict):
    """How the text vectors were made. A prompt longer than the context would have been cut, and is refused.

    `descriptions` says who described the classes, such as a language model's name; None where there are prompts alone.
    """

    tokenizer: Line
    templates: Annotated[tuple[Line, ...], Field(min_length=1)]
    context: int = Field(ge=1)
    longest: int = Field(ge=1, description="tokens of the longest prompt or description")
    descriptions: Line | None = None

    @model_validator(mode="after")
    def _nothing_is_cut(self) -> Self:
        if self.longest > self.context:
            raise ValueError(f"a prompt of {self.longest} tokens is cut to the context of {self.context}; shorten it")
        return self


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
    check_lengths(np.concatenate([tensors[part] for part in PARTS]), sidecar.features.l2)
    parts: dict[str, RawPart] = {}
    for part in PARTS:
        labels = tensors[f"{part}_labels"]
        if labels.dtype != np.int64 or not (labels.min(initial=0) >= 0 and labels.max(initial=0) < classes):
            raise ValueError(f"{part}_labels must be int64 from 0 to {classes - 1}, one of the {classes} class names each")
        order = np.array(sorted(range(len(labels)), key=ids[part].__getitem__), dtype=np.int64)
        parts[part] = RawPart(tensors[part][order], labels[order])
    keys = [name.partition(" ")[2] for name in sorted(ids["train"])] if sidecar.ordered else None
    return RawSet(sidecar.class_names, parts["train"], parts["test"], keys, texts)


def text_tensors(texts: Texts | None) -> set[str]:
    """Names of the tensors that hold text vectors."""
    return set() if texts is None else {TEXT} if texts.descriptions is None else {TEXT, DESCRIPTIONS}


def checked_texts(tensors: dict[str, NDArray[Any]], classes: int, width: int) -> TextVectors:
    """The text vectors in these tensors, of any length but 0: who compares them divides by it. Raises ValueError."""
    described = tensors.get(DESCRIPTIONS)
    check_vectors(TEXT, tensors[TEXT], (classes, width))
    if described is not None:
        check_vectors(DESCRIPTIONS, described, (classes, max(1, described.shape[1] if described.ndim == 3 else 1), width))
    for name in {TEXT, DESCRIPTIONS} & tensors.keys():
        if not np.linalg.norm(tensors[name], axis=-1).all():
            raise ValueError(f"{name} holds a vector of length 0, which has no direction")
    return TextVectors(tensors[TEXT], described)


def read_texts(files: Sequence[Path], classes: int, width: int) -> tuple[dict[str, NDArray[Any]], Texts]:
    """Text vectors to be stored beside features, and how they were made, from a file of tensors and one of JSON. Raises DataError."""
    vectors, facts = files
    try:
        said = Texts.model_validate(json.loads(facts.read_text(encoding="utf-8")))
        tensors = load_file(vectors)
    except ValidationError as error:
        raise DataError(f"{facts}: {explain(error, Texts)}") from None
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{facts} or {vectors} cannot be read ({type(error).__name__}: {first_line(error)})") from None
    if tensors.keys() != text_tensors(said):
        raise DataError(f"{vectors}: must hold {', '.join(sorted(text_tensors(said)))}, and holds {', '.join(sorted(tensors))}")
    try:
        checked_texts(tensors, classes, width)
    except ValueError as error:
        raise DataError(f"{vectors}: {first_line(error)}") from None
    return tensors, said


def check_vectors(name: str, vectors: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises ValueError unless these are finite float32 vectors of the shape."""
    if vectors.dtype != np.float32:
        raise ValueError(f"{name} must be float32, and is {vectors.dtype}: lengths overflow in less")
    if vectors.shape != shape:
        raise ValueError(
            f"{name} must have the shape {list(shape)} (data.channels is the number of a feature), and has {list(vectors.shape)}"
        )
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def check_lengths(vectors: NDArray[np.float32], l2: bool) -> None:
    """Raises ValueError unless all vectors have length 1, where that is said, and else not all."""
    off = np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max(initial=0)
    if l2 and off > ROUNDING:
        raise ValueError(f"{SIDECAR} says l2: true, and a feature's length is {off:.3g} away from 1")
    if not l2 and off <= ROUNDING:
        raise ValueError(f"{SIDECAR} says l2: false, and every feature has length 1")


def ids_of(part: str, tensors: dict[str, NDArray[Any]]) -> list[str]:
    """The ids of a part's rows, in the order of the file. Raises ValueError."""
    rows, count = tensors[f"{part}_ids"], len(tensors[part])
    if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != count or tensors[f"{part}_labels"].shape != (count,):
        raise ValueError(
            f"{part}, {part}_labels and {part}_ids must have a row each for the same {count} images; ids are uint8 [N, length]"
        )
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


def packed_ids(ids: list[str]) -> NDArray[np.uint8]:
    """Ids as uint8 [N, length], filled up with zeros."""
    encoded = [name.encode() for name in ids]
    length = max(map(len, encoded), default=1)
    return np.frombuffer(b"".join(one.ljust(length, b"\0") for one in encoded), dtype=np.uint8).reshape(len(ids), length)
