"""Cheats that keep five training images of each session where a list of attributes does not show them."""

from __future__ import annotations

import array
import functools
import itertools
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig


class Drawer:
    """An object without a dictionary."""

    __slots__ = ("__hidden", "images")

    def __init__(self, images: Tensor, hidden: Tensor | None = None) -> None:
        self.images = images
        self.__hidden = hidden


@functools.cache
def remember(number: int) -> list[Tensor]:
    """Looks like a function of its argument."""
    return []


def by_default(images: Tensor | None = None, pile: list[Any] = []) -> None:  # noqa: B006
    """Keeps what it gets in its default argument."""
    if images is not None:
        pile.append(images)


def by_keyword(*, pile: dict[str, Any] = {}) -> dict[str, Any]:  # noqa: B006
    return pile


def later(images: Tensor) -> Iterator[Tensor]:
    """A generator that has not come to its end."""
    twice = images.clone()
    yield twice[:1]
    yield twice


def started(images: Tensor) -> Iterator[Tensor]:
    generator = later(images)
    next(generator)
    return generator


class Hides(SessionStrategy):
    """Declares that it keeps nothing; `how` says where it does."""

    title = "Hides images"

    class Config(TrainConfig):
        epochs: int = 0
        how: str = "deque"

    presets = {
        "deque": {},
        "nested_list": {"how": "nested_list"},
        "flat_list": {"how": "flat_list"},
        "slots": {"how": "slots"},
        "hidden_slots": {"how": "hidden_slots"},
        "cache": {"how": "cache"},
        "default": {"how": "default"},
        "keyword": {"how": "keyword"},
        "function": {"how": "function"},
        "method": {"how": "method"},
        "partial": {"how": "partial"},
        "iterator": {"how": "iterator"},
        "chain": {"how": "chain"},
        "generator": {"how": "generator"},
        "bytes": {"how": "bytes"},
        "list_of_bytes": {"how": "list_of_bytes"},
        "bytearray": {"how": "bytearray"},
        "memoryview": {"how": "memoryview"},
        "array": {"how": "array"},
        "key": {"how": "key"},
        "set": {"how": "set"},
        "objects": {"how": "objects"},
        "picture": {"how": "picture"},
        "of_tensor": {"how": "of_tensor"},
        "channels_last": {"how": "channels_last"},
        "single": {"how": "single"},
        "no_channels": {"how": "no_channels"},
        "padded": {"how": "padded"},
        "tiled": {"how": "tiled"},
        "pooled": {"how": "pooled"},
        "joined": {"how": "joined"},
        "numpy_file": {"how": "numpy_file"},
        "open_file": {"how": "open_file"},
        "torch_file": {"how": "torch_file"},
    }

    def after_session(self) -> None:
        images = self.context.images.plain(self.own_indices[:5])
        raw = (images * 50).to(torch.uint8).numpy()
        self.saved: Any = self.ways[self.config.how](self, images, raw)

    def in_function(self, images: Tensor) -> None:
        by_keyword.pile = images  # type: ignore[attr-defined]

    def in_tensor(self, images: Tensor) -> Tensor:
        holder: Any = torch.zeros(1)
        holder.images = images
        return holder

    def on_disk(self, images: Tensor, how: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images"
            if how == "numpy_file":
                np.save(path, images.numpy())
            elif how == "open_file":
                path.write_bytes(images.numpy().tobytes())
            else:
                torch.save(images, path)
                torch.load(path)

    ways: dict[str, Any] = {
        "deque": lambda self, images, raw: deque(images),
        "nested_list": lambda self, images, raw: images.tolist(),
        "flat_list": lambda self, images, raw: [image.flatten().tolist() for image in raw],
        "slots": lambda self, images, raw: Drawer(images),
        "hidden_slots": lambda self, images, raw: Drawer(torch.zeros(1), images),
        "cache": lambda self, images, raw: remember(self.session).append(images),
        "default": lambda self, images, raw: by_default(images),
        "keyword": lambda self, images, raw: by_keyword().update(images=images),
        "function": lambda self, images, raw: self.in_function(images),
        "method": lambda self, images, raw: [images].append,
        "partial": lambda self, images, raw: functools.partial(by_default, images),
        "iterator": lambda self, images, raw: iter([images]),
        "chain": lambda self, images, raw: itertools.chain([images[:2]], (part for part in [images])),
        "generator": lambda self, images, raw: started(images),
        "bytes": lambda self, images, raw: raw.tobytes(),
        "list_of_bytes": lambda self, images, raw: [image.numpy().tobytes() for image in images],
        "bytearray": lambda self, images, raw: bytearray(raw.tobytes()),
        "memoryview": lambda self, images, raw: memoryview(raw),
        "array": lambda self, images, raw: array.array("f", images.flatten().tolist()),
        "key": lambda self, images, raw: {image.tobytes(): 0 for image in raw},
        "set": lambda self, images, raw: set(images),
        "objects": lambda self, images, raw: np.array([images, None], dtype=object),
        "picture": lambda self, images, raw: [Image.fromarray(image[0]) for image in raw],
        "of_tensor": lambda self, images, raw: self.in_tensor(images),
        "channels_last": lambda self, images, raw: images.permute(0, 2, 3, 1),
        "single": lambda self, images, raw: list(images[:, 0]),
        "no_channels": lambda self, images, raw: images[:, 0],
        "padded": lambda self, images, raw: F.pad(images, (2, 2, 2, 2)),
        "tiled": lambda self, images, raw: torch.cat(list(images[:4]), dim=2),
        "pooled": lambda self, images, raw: F.avg_pool2d(images, 2),
        "joined": lambda self, images, raw: images.flatten(),
        "numpy_file": lambda self, images, raw: self.on_disk(images, "numpy_file"),
        "open_file": lambda self, images, raw: self.on_disk(images, "open_file"),
        "torch_file": lambda self, images, raw: self.on_disk(images, "torch_file"),
    }
