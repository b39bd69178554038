"""A folder of images of the user's own, as a data set, and its cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.schema import Data

Pixels = NDArray[np.uint8]


def data_of(channels: int = 3, **changes: Any) -> Data:
    fields = {"source": "folder", "path": "mine", "size": 8, "channels": channels, "mean": [0.5] * channels, "std": [0.5] * channels}
    return Data.model_validate({**fields, **changes})


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def train_file(root: Path, suffix: str = "png") -> Path:
    path = root / "mine" / "train" / "a" / f"0.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def caches(root: Path) -> list[Path]:
    """Everything in the cache but the lock files."""
    return sorted(path for path in (root / ".cache").iterdir() if path.suffix != ".lock")
