"""What every source returns: its files, and a function that reads them into images and classes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.system.errors import DataError, NotHereError
from benchmarks.system.files import locked
from protocols.messages import first_line

Pixels = NDArray[Any]
"""What is shown to a network: uint8 pixels, or float32 features of a network before it."""


@dataclass(frozen=True)
class RawPart:
    """Images, as files or as one uint8 array [N, H, W] or [N, H, W, C], and their class numbers [N]; or stored features, float32 [N, d].

    `inverted`: the images are dark on light. They are inverted on decoding, so that zero padding has the background's colour.
    """

    images: Sequence[Path] | Pixels
    classes: NDArray[np.int64]
    inverted: bool = False

    def of_first_classes(self, count: int) -> RawPart:
        indices = np.flatnonzero(self.classes < count)
        images = self.images[indices] if isinstance(self.images, np.ndarray) else [self.images[int(row)] for row in indices]
        return RawPart(images, self.classes[indices], self.inverted)


@dataclass(frozen=True)
class TextVectors:
    """A text encoder's vectors, float32: of each class's prompts, [classes, d], and of J descriptions of each, [classes, J, d], if any."""

    prompts: NDArray[np.float32]
    descriptions: NDArray[np.float32] | None = None

    def of(self, classes: Sequence[int]) -> TextVectors:
        """Those of these class numbers, in this order."""
        rows = list(classes)
        return TextVectors(self.prompts[rows], None if self.descriptions is None else self.descriptions[rows])


@dataclass(frozen=True)
class RawSet:
    """A data set before decoding. `keys` name the training images in their original file order, or are None."""

    class_names: tuple[str, ...]
    train: RawPart
    test: RawPart
    keys: list[str] | None = None
    texts: TextVectors | None = None

    def of_first_classes(self, count: int | None) -> RawSet:
        """The images of classes 0 to `count` - 1; None: of all."""
        if count is None:
            return self
        keys = self.keys and [key for key, number in zip(self.keys, self.train.classes, strict=True) if number < count]
        parts = (self.train.of_first_classes(count), self.test.of_first_classes(count))
        return RawSet(self.class_names[:count], *parts, keys, self.texts and self.texts.of(range(count)))


@dataclass(frozen=True)
class Found:
    """Files of a source. `fingerprint` changes with their names, sizes and times; `read` lists the images without decoding files.

    `notes` are lines for the user about what is there and is not read.
    """

    fingerprint: str
    read: Callable[[], RawSet]
    notes: tuple[str, ...] = ()


def fingerprint_files(root: Path, files: Sequence[Path]) -> str:
    """Hash of the files' names under `root`, sizes and modification times. Fast enough for 60,000 files. Raises DataError."""
    digest = hashlib.sha256()
    for file in files:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe would block forever
            raise DataError(f"{file}: is not a file; remove it")
        try:
            digest.update(f"{file.relative_to(root).as_posix()} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        except UnicodeEncodeError:
            raise DataError(f"{str(file)!a}: this name is no text in UTF-8; rename it") from None
    return digest.hexdigest()


def whole(name: str, folder: Path, read: Callable[[], RawSet]) -> Callable[[], RawSet]:
    """Wraps `read`: turns any exception that a library raises on damaged files into a DataError."""

    def guarded() -> RawSet:
        try:
            return read()
        except Exception as error:
            raise DataError(f"{name}: {folder} is damaged or incomplete ({first_line(error)}); remove it and fetch it again") from None

    return guarded


_refused: list[bool] = []


@contextmanager
def without_downloads() -> Iterator[None]:
    """In this context, what would be downloaded raises NotHereError."""
    _refused.append(True)
    try:
        yield
    finally:
        _refused.pop()


def fetch(name: str, root: Path, download: Callable[[], object], advice: str) -> None:
    """Run a download, one process at a time. Raises DataError that says what to fetch and where to put it.

    A process that had to wait finds the files present: `download` must skip files that are complete.
    """
    if _refused:
        raise NotHereError(f"{name}: not in {root} yet; a run would try to fetch it. {advice}")
    try:
        with locked(root / ".cache" / f"{name}.fetch.lock".replace(" ", "-"), wait=True):
            download()
    except Exception as error:  # network libraries raise almost anything
        first = first_line(error) or type(error).__name__
        raise DataError(f"{name}: not found, and the download failed ({first[:120]}). {advice}") from None
