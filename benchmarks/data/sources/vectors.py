"""What vectors of features may be: their type, their shape and their lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDECAR = "features.json"
ROUNDING = 1e-3
"""Largest distance from 1 of the length of a normalised feature."""


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


def check_lengths(part: str, vectors: NDArray[np.float32], l2: bool) -> None:
    """Raises ValueError unless all vectors of a part have length 1, where that is said, and else not all."""
    if l2 and (off := off_one(vectors)) > ROUNDING:
        raise ValueError(f"{SIDECAR} says l2: true, and the length of a feature of {part} is {off:.3g} away from 1")
    if not l2 and of_length_one(vectors):
        raise ValueError(f"{SIDECAR} says l2: false, and every feature of {part} has length 1")


def of_length_one(vectors: NDArray[np.float32]) -> bool:
    """Whether these features, as far as there are any, were all divided by their lengths."""
    return len(vectors) > 0 and off_one(vectors) <= ROUNDING


def off_one(vectors: NDArray[np.float32]) -> float:
    """Largest distance of a length from 1."""
    return float(np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max(initial=0))
