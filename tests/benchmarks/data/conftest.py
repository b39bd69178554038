"""Images made by hand, and how sources are asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.data.sources import locate
from benchmarks.data.sources.raw import RawSet
from benchmarks.system.errors import DataError
from protocols.schema import Data

WriteImages = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
Shared = Callable[[str], Path]


def data_of(source: str, **changes: Any) -> Data:
    return Data.model_validate({"source": source, "size": 8, "channels": 1, "mean": [0.5], "std": [0.5], **changes})


def grey(value: int, side: int = 8) -> NDArray[np.uint8]:
    return np.full((side, side), value, dtype=np.uint8)


def read(data: Data, root: Path) -> RawSet:
    return locate(data, root).read()


@contextmanager
def refused(*named: object) -> Iterator[None]:
    """A DataError of one line, in which all of these appear."""
    with pytest.raises(DataError) as caught:
        yield
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert all(str(name) in message for name in named), message


def tree(*names: str, each: int = 2, suffix: str = "png") -> dict[str, NDArray[np.uint8]]:
    """Images of these classes in train/ and test/; each image has a grey level of its own."""
    files = [f"{part}/{name}/{i}.{suffix}" for part in ("train", "test") for name in names for i in range(each)]
    return {file: grey(10 + index) for index, file in enumerate(files)}
