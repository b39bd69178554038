"""What must be in order before anything is trained: data, splits of every seed, weights, room to write."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.datasets import ImageSet, load_images
from benchmarks.errors import DataError, StorageError
from benchmarks.precision import pick_device
from benchmarks.records import Identity
from benchmarks.settings import Settings
from benchmarks.splits import make_split
from benchmarks.weights import find_weights
from protocols.schema import Protocol


def check_before_training(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> str:
    """Hash of the images, which it leaves decoded in their cache. Raises UsageError, DataError or StorageError with what to mend."""
    pick_device(settings.device)
    try:
        for folder in (settings.results, settings.data_root):
            folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=settings.results).close()
    except OSError as error:
        raise StorageError.of(Path(error.filename or settings.results), error) from None
    images = load_images(protocol.data, settings.data_root)
    for split, seed in sorted({(identity.split, identity.seed) for identity in runs}):
        make_split(protocol, split, seed, images.train_classes, images.test_classes, images.keys)
    find_weights(protocol.backbone, settings.data_root)
    return images.sha256


def images_or_why(protocol: Protocol, settings: Settings) -> tuple[ImageSet | None, str]:
    """The protocol's images, or None and why they are not to be had here: finished records can be reported and verified without them."""
    try:
        return load_images(protocol.data, settings.data_root), ""
    except (DataError, StorageError) as error:
        return None, str(error)
