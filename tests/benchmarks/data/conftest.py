"""Images made by hand, and how sources are asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file as save_state

from benchmarks.data.sources import locate
from benchmarks.data.sources.raw import RawSet
from benchmarks.system.errors import DataError
from benchmarks.tools import extract
from methods.parts.backbones import build_backbone
from protocols.schema import Data
from tests.benchmarks.data.mine import noise
from tests.benchmarks.data.stored import NETWORK, asked

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


@pytest.fixture
def root(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with `mine`: three classes, two training images and one test image of each, 12 x 12 RGB."""
    files = [f"{part}/{name}/{i}.png" for part, each in (("train", 2), ("test", 1)) for name in "abc" for i in range(each)]
    write_images(tmp_path / "mine", {file: noise(12, 12, 3, seed=index) for index, file in enumerate(files)})
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the features of all digits, as the command writes them."""
    root = tmp_path_factory.mktemp("root")
    (root / "weights").mkdir()
    torch.manual_seed(0)
    save_state(build_backbone("conv2", 1).state_dict(), root / "weights" / "conv2.safetensors")
    assert extract.main(asked(root, *NETWORK)) == 0
    return root
