"""The 1,797 real 8x8 handwritten digits that scikit-learn includes (UCI, Alpaydin & Kaynak, 1998). No download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data.sources.raw import Found, RawPart, RawSet
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    def read() -> RawSet:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 17 grey levels, 0..16
        classes = digits.target.astype(np.int64)
        test = np.arange(len(images)) % 3 == 2
        train, test_part = (RawPart(images[which], classes[which]) for which in (~test, test))
        return RawSet(tuple(map(str, range(10))), train, test_part)

    return Found("scikit-learn load_digits, every third image for testing", read)
