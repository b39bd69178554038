"""Hashes that are stored in records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def order_sha256(order: Sequence[int]) -> str:
    """Hash of a class order."""
    return hashlib.sha256(" ".join(map(str, order)).encode()).hexdigest()


def indices_sha256(parts: Iterable[NDArray[np.int64]]) -> str:
    """Hash of a sequence of arrays of image indices."""
    digest = hashlib.sha256()
    for indices in parts:
        digest.update(np.ascontiguousarray(indices, dtype="<i8").tobytes())
        digest.update(b"/")
    return digest.hexdigest()
