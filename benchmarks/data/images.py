"""Images as uint8 arrays (stored features: float32). They are decoded once into a cache under the data root and verified at every load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.sources import locate
from benchmarks.data.sources.raw import Found, Pixels, RawPart, RawSet, TextVectors
from benchmarks.system.errors import DataError
from benchmarks.system.files import locked, sha256_file
from protocols.schema import Data

if TYPE_CHECKING:
    from PIL.Image import Image

CACHE_VERSION = 2  # increase when decoding changes
TEXTS = ("prompts", "descriptions")
PILLOW_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageSet:
    """A decoded data set. Images are uint8 [N, C, side, side], or stored features, float32 [N, d, 1, 1]; classes are the data set's own
    class numbers, int64 [N].

    `train` holds the training images at the size that augmentation crops from; `plain` holds the same images at the test size,
    and is the same array if both sizes are equal. `keys` name the training images, as in `RawSet`. `texts` are one or more vectors a
    class, by class number. `sha256` covers everything.
    """

    class_names: tuple[str, ...]
    train: Pixels
    plain: Pixels
    test: Pixels
    train_classes: NDArray[np.int64]
    test_classes: NDArray[np.int64]
    keys: list[str] | None
    sha256: str
    notes: tuple[str, ...] = ()
    texts: TextVectors | None = None

    def training(self, rows: NDArray[np.int64]) -> tuple[Pixels, Pixels]:
        """`train` and `plain` of these training images: one array again where they are one here."""
        plain = self.plain[rows]
        return plain if self.train is self.plain else self.train[rows], plain


def found_files(data: Data, root: Path) -> Found:
    """The files of a protocol's images. Raises DataError, also for one that cannot be read, such as a link to nothing."""
    try:
        return locate(data, root)
    except OSError as error:
        raise DataError(f"{data.path or data.source}: {error.filename} cannot be read ({error.strerror})") from None


def load_images(data: Data, root: Path, verified: str | None = None) -> ImageSet:
    """Loads the protocol's images from the cache under `root`, which it creates if needed. Raises DataError.

    `verified` is the hash of images that the same command has just loaded; these are not hashed again.
    """
    found = found_files(data, root)
    facts = (data.source, data.path, data.classes, data.size, data.train_size, data.channels, *(["texts"] if data.texts else []))
    key = hashlib.sha256(f"v{CACHE_VERSION} {found.fingerprint} {facts}".encode()).hexdigest()[:16]
    name = (data.path or data.source).replace("/", "-")
    folder = root / ".cache" / f"{name[-60:]}-{data.size}-{key}"
    cached = read_cache(folder, data, verified)
    if cached is not None:
        return with_notes(cached, found.notes)
    try:
        with locked(folder.parent / f"{folder.name}.lock", wait=True):
            cached = read_cache(folder, data)  # another process may have written it meanwhile
            if cached is not None:
                return with_notes(cached, found.notes)
            for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # left by a killed process; this one holds the lock
                shutil.rmtree(stale)
            if folder.is_symlink() or folder.is_file():
                folder.unlink()
            elif folder.is_dir():  # damaged: decode again
                shutil.rmtree(folder)
            raw = found.read()
            write_cache(folder, raw, data)
            fresh = read_cache(folder, data)
    except OSError as error:
        raise DataError(f"{name}: the image cache {folder} cannot be written or read ({error})") from None
    if fresh is None:
        raise DataError(f"{name}: the image cache {folder} does not read back as it was written; check the disk")
    return with_notes(fresh, found.notes)


def with_notes(images: ImageSet, notes: tuple[str, ...]) -> ImageSet:
    """The images with what is to be said of their files."""
    return replace(images, notes=notes)


def decode(part: RawPart, size: int, channels: int) -> Pixels:
    """All images of a part as uint8 [N, C, size, size], resized bilinearly without keeping the aspect ratio; stored features as they are,
    float32 [N, C, 1, 1]. Raises DataError."""
    from PIL import Image, ImageOps

    if isinstance(part.images, np.ndarray) and part.images.dtype == np.float32:
        return part.images.reshape(len(part.images), channels, 1, 1)
    result = np.empty((len(part.images), channels, size, size), dtype=np.uint8)
    for index, item in enumerate(part.images):
        try:
            image = Image.open(item) if isinstance(item, Path) else Image.fromarray(item)
            if image.mode[0] in "IF":
                raise ValueError(f"more than 8 bits a channel, mode {image.mode}; convert it")
            if isinstance(item, Path):
                image = on_white(ImageOps.exif_transpose(image))
            image = image.convert(PILLOW_MODES[channels])
            if image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{item}: not a readable image ({error}); replace it") from None
        result[index] = pixels.transpose(2, 0, 1) if channels == 3 else pixels
    return 255 - result if part.inverted else result


def on_white(image: Image) -> Image:
    """A transparent image composed on white, since the colours behind transparency are anybody's guess; others as they are."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def write_cache(folder: Path, raw: RawSet, data: Data) -> None:
    """Decode the images into a temporary folder, then rename it to `folder` in one step. Raises DataError."""
    raw = raw.of_first_classes(data.classes)
    train, test = raw.train, raw.test
    names, keys, texts = raw.class_names, raw.keys, raw.texts
    if not (len(train.classes) and len(test.classes)):
        raise DataError(f"{data.path or data.source}: holds no image to train on or none to test on")
    arrays: dict[str, NDArray[Any]] = {
        "plain": decode(train, data.size, data.channels),
        "test": decode(test, data.size, data.channels),
        "train_classes": train.classes,
        "test_classes": test.classes,
    }
    if data.train_size is not None:
        arrays["train"] = decode(train, data.train_size, data.channels)
    if texts is not None:
        arrays |= {name: vectors for name in TEXTS if (vectors := getattr(texts, name)) is not None}
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array)
        hashes = {name: sha256_file(scratch / f"{name}.npy") for name in arrays}
        index = json.dumps({"class_names": names, "keys": keys, "sha256": hashes})
        (scratch / "index.json").write_text(f"{hashlib.sha256(index.encode()).hexdigest()} {index}", encoding="utf-8")
        scratch.chmod(0o755)  # mkdtemp's default mode would hide it from other users of the data root
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_cache(folder: Path, data: Data, verified: str | None = None) -> ImageSet | None:
    """The cached images, memory-mapped so that processes share them; None if anything is missing, inconsistent or differs from its hash.

    The arrays are not hashed if their index has the hash `verified`.
    """
    names = ["plain", "test", "train_classes", "test_classes"] + (["train"] if data.train_size is not None else [])
    try:
        of_index, _, text = (folder / "index.json").read_text(encoding="utf-8").partition(" ")
        if hashlib.sha256(text.encode()).hexdigest() != of_index:
            return None
        index = json.loads(text)
        names += [name for name in TEXTS if data.texts and name in index["sha256"]]
        sha256 = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
        if sha256 != verified and index["sha256"] != {name: sha256_file(folder / f"{name}.npy") for name in names}:
            return None
        # copy-on-write: torch needs writable memory, and the file must not change
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in names}
        images = ImageSet(
            class_names=tuple(index["class_names"]),
            train=arrays.get("train", arrays["plain"]),
            plain=arrays["plain"],
            test=arrays["test"],
            train_classes=np.asarray(arrays["train_classes"]),
            test_classes=np.asarray(arrays["test_classes"]),
            keys=index["keys"],
            sha256=sha256,
            texts=TextVectors(arrays["prompts"], arrays.get("descriptions")) if data.texts else None,
        )
        return images if consistent(images, data) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def consistent(images: ImageSet, data: Data) -> bool:
    """Whether the arrays agree with each other and with the protocol. Anyone can compute their hashes, so these do not prove it."""
    for array, classes, side in (
        (images.train, images.train_classes, data.train_size or data.size),
        (images.plain, images.train_classes, data.size),
        (images.test, images.test_classes, data.size),
    ):
        if array.dtype != (np.float32 if data.of_vectors else np.uint8) or array.shape != (len(classes), data.channels, side, side):
            return False
        if classes.dtype != np.int64 or classes.ndim != 1 or not (classes.min() >= 0 and classes.max() < len(images.class_names)):
            return False
    if (texts := images.texts) is not None:
        of_all = (len(images.class_names), data.channels)
        for vectors in (texts.prompts, texts.descriptions):
            if vectors is not None and (vectors.dtype != np.float32 or (vectors.shape[0], vectors.shape[-1]) != of_all):
                return False
    named = [*images.class_names, *(images.keys or [])]
    return all(isinstance(name, str) for name in named) and (images.keys is None or len(images.keys) == len(images.train_classes))
