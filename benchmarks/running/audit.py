"""Finds what a method may do by mistake: adapting to test images, keeping shots.

A method gets only the images that it may see (benchmarks/running/images.py). This module searches what it holds (leaves.py). It cannot
stop intent to deceive; methods are also reviewed. docs/ADDING_A_METHOD.md says what is found and what is not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from types import FunctionType
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.running.leaves import Leaf, Search, same, snapshot
from methods.contract.strategy import SessionStrategy

NOT_ITS_OWN = ("experience", "context")
"""Attributes that the runner sets: the session's image indices and labels, and the access to images."""
OF_ONE_SESSION = ("optimizer", "loss")
"""Avalanche's attributes that are set anew in every session."""

Shape = tuple[int, ...]


class TraceError(RuntimeError):
    """Testing has changed the state of a method."""


def holdings(strategy: SessionStrategy, without: Sequence[str] = NOT_ITS_OWN, caches: bool = True) -> Iterator[Leaf]:
    """Leaves of the strategy's attributes, then those of its classes and of the modules that define them, with their own functions."""
    search = Search({id(strategy), id(strategy.context), id(strategy.context.images)}, caches)
    for name, value in list(vars(strategy).items()):
        if name not in without:
            yield from search.leaves(value, f"self.{name}")
    for cls in type(strategy).__mro__:
        if not issubclass(cls, SessionStrategy) or cls is SessionStrategy:
            continue
        module = sys.modules[cls.__module__]
        for owner, where in ((cls, cls.__name__), (module, cls.__module__)):
            for name, value in list(vars(owner).items()):
                of_another = isinstance(value, FunctionType) and value.__module__ != cls.__module__
                if not (name.startswith("__") and name.endswith("__") and not isinstance(value, FunctionType)) and not of_another:
                    value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                    yield from search.leaves(value, f"{where}.{name}")


@contextmanager
def untouched(strategy: SessionStrategy, session: int) -> Iterator[None]:
    """Raises TraceError if the code in this context changes the strategy. The message names what changed.

    Functions under `functools.cache` may be called for the first time here.
    """
    strategy.model.eval()
    before = by_path(strategy, snapshot)
    yield
    after = by_path(strategy, lambda value: value if isinstance(value, Tensor | np.ndarray) else repr(value))
    changed = [path for path in {**after, **before} if not all_same(before.get(path, []), after.get(path, []))]
    if changed:
        where = changed[0]
        raise TraceError(
            f"session {session}: testing changed {where}; embed and scores must leave a method as it was "
            f"(nothing may be learnt from test images)"
        )


def by_path(strategy: SessionStrategy, taken: Callable[[Any], Any]) -> dict[str, list[Any]]:
    """What is taken of each leaf. Several stand at one path where nothing names them apart, such as the values of a function's closure."""
    found: dict[str, list[Any]] = {}
    for leaf in holdings(strategy, caches=False):
        found.setdefault(leaf.path, []).append(taken(leaf.value))
    return found


def all_same(before: Sequence[Any], after: Sequence[Any]) -> bool:
    return len(before) == len(after) and all(map(same, before, after))


def numbers_kept(strategy: SessionStrategy) -> int:
    """Count of the numbers that a strategy holds beside its network and its exemplars: prototypes, features, a teacher.

    Flat lists of integers (labels, indices, sizes) do not count, nor do single numbers.
    """
    own = {id(tensor) for tensor in (*strategy.model.parameters(), *strategy.model.buffers())}
    held = [leaf for leaf in holdings(strategy, (*NOT_ITS_OWN, *OF_ONE_SESSION, "config")) if id(leaf.value) not in own]
    return sum(size(leaf) for leaf in held)


def size(leaf: Leaf) -> int:
    value = leaf.value
    if isinstance(value, Tensor):
        return value.numel()
    if not isinstance(value, np.ndarray) or (leaf.of == "list" and value.ndim == 1 and value.dtype.kind in "biu"):
        return 0
    return value.size


def images_outside(strategy: SessionStrategy, shapes: Sequence[Shape]) -> list[tuple[str, int]]:
    """Paths at which a strategy holds images outside its memory, and how many. `shapes` are those of images, [C, S, S].

    Unless it has the very shape of images, a tensor does not count as one of them if it has the shape of a parameter (its importances
    or its gradient), or if a side of it is the feature dimension; nor does a matrix whose sides are a number of classes seen so far.
    """
    parameters = {tuple(parameter.shape) for parameter in strategy.model.parameters()}
    width, sessions = int(strategy.model.feature_dim), range(strategy.session + 1)
    matrices = [(seen, seen) for seen in (strategy.context.sessions.span(session).stop for session in sessions)]
    found = []
    for leaf in holdings(strategy):
        if isinstance(leaf.value, Tensor | np.ndarray):
            shape = tuple(leaf.value.shape)
            for image in shapes:
                count = whole(shape, image, leaf.of == "bytes")
                if count or (shape not in (*parameters, *matrices) and (count := changed(shape, image, width))):
                    found.append((leaf.path, count))
                    break
    return found


def whole(shape: Shape, image: Shape, of_bytes: bool) -> int:
    """Number of images [C, S, S] in an array [..., C, S, S], or in one of single bytes or numbers without a shape."""
    if shape[-3:] == image:
        return prod(shape[:-3])
    return prod(shape) // prod(image) if of_bytes and prod(shape) % prod(image) == 0 else 0


def changed(shape: Shape, image: Shape, width: int) -> int:
    """Number of images [C, S, S] in an array that may hold them flattened, channels last, without channels, padded or tiled.

    `width` is the feature dimension: arrays of that side or length hold features.
    """
    channels, side, _ = image
    if shape and shape[-1] == prod(image) != width:
        return prod(shape[:-1])
    for colours, high, wide in (shape[-3:], (*shape[-1:], *shape[-3:-1])) if len(shape) >= 3 else ():
        if colours == channels and width not in (high, wide) and is_canvas(high, wide, side):
            return prod(shape[:-3]) * (high // side) * (wide // side)
    return prod(shape[:-2]) if channels == 1 and shape[-2:] == (side, side) and side != width else 0


def is_canvas(high: int, wide: int, side: int) -> bool:
    """Whether a picture of this size may be one of `side` x `side` pixels with a border, or a grid of them."""
    return side <= high == wide <= 2 * side or (min(high, wide) >= side and high % side == 0 == wide % side)
