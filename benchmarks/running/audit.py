"""Lists the tensors and values that a strategy holds, and detects changes that testing made to them.

A method gets only the images that it may see (benchmarks/running/images.py). This module finds what a method may do by mistake, such
as adapting to test images or keeping shots. It cannot stop intent to deceive; methods are also reviewed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.contract.strategy import SessionStrategy

SCALARS = (str, bytes, int, float, complex, bool, type(None))
NOT_ITS_OWN = ("experience", "context")
"""Attributes that the runner sets: the session's image indices and labels, and the access to images."""
OF_ONE_SESSION = ("optimizer", "best_epoch", "loss", "_held", "_modes")
"""Attributes that the strategy base classes set anew in every session."""

Leaf = tuple[str, Any]


class TraceError(RuntimeError):
    """Testing has changed the state of a method."""


def leaves(value: Any, path: str, seen: set[int]) -> Iterator[Leaf]:
    """Tensors, arrays and plain values that an object holds in attributes, containers and closures, each with its path.

    `seen` holds the ids of objects that were visited already.
    """
    if isinstance(value, SCALARS):
        yield path, value
        return
    if id(value) in seen or isinstance(value, ModuleType | type | torch.device | torch.dtype):
        return
    seen.add(id(value))
    if isinstance(value, Tensor | np.ndarray):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[...]", seen)
    elif isinstance(value, set | frozenset) or (isinstance(value, list | tuple) and all(isinstance(item, SCALARS) for item in value)):
        yield path, repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]", seen)
    elif isinstance(value, FunctionType | MethodType | partial):
        inner = value.func if isinstance(value, partial) else getattr(value, "__func__", value)
        bound = [value.args, value.keywords] if isinstance(value, partial) else []
        for item in (*bound, *(cell.cell_contents for cell in getattr(inner, "__closure__", None) or ())):
            yield from leaves(item, path, seen)
    elif isinstance(value, nn.Module):
        for name, item in vars(value).items():
            if name in ("_parameters", "_buffers", "_modules"):
                for key, part in item.items():
                    yield from leaves(part, f"{path}.{key}", seen)
            else:
                yield from leaves(item, f"{path}.{name}", seen)
    else:
        for name, item in getattr(value, "__dict__", {}).items():
            yield from leaves(item, f"{path}.{name}", seen)


def holdings(strategy: SessionStrategy, without: Sequence[str] = NOT_ITS_OWN) -> Iterator[Leaf]:
    """Leaves of the strategy's attributes, then those of its classes and of the modules that define them."""
    seen = {id(strategy), id(strategy.context), id(strategy.context.images)}
    for name, value in list(vars(strategy).items()):
        if name not in without:
            yield from leaves(value, f"self.{name}", seen)
    for cls in type(strategy).__mro__:
        if not issubclass(cls, SessionStrategy) or cls is SessionStrategy:
            continue
        for name, value in list(vars(cls).items()):
            if not (name.startswith("__") or isinstance(value, FunctionType)):
                yield from leaves(value, f"{cls.__name__}.{name}", seen)
        for name, value in list(vars(sys.modules[cls.__module__]).items()):
            if not name.startswith("__") and not isinstance(value, FunctionType):
                yield from leaves(value, f"{cls.__module__}.{name}", seen)


def snapshot(value: Any) -> Any:
    """A copy of a tensor or an array; the repr of any other value."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else repr(value)


def same(before: Any, after: Any) -> bool:
    """Whether two snapshots are equal bit by bit: NaN equals NaN, and -0 does not equal 0."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        alike = before.shape == after.shape and before.dtype == after.dtype
        return alike and torch.equal(*(value.detach().contiguous().reshape(-1).view(torch.uint8) for value in (before, after)))
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return before.shape == after.shape and before.dtype == after.dtype and before.tobytes() == after.tobytes()
    return type(before) is type(after) and bool(before == after)


@contextmanager
def untouched(strategy: SessionStrategy, session: int) -> Iterator[None]:
    """Raises TraceError if the code in this context changes the strategy. The message names what changed."""
    strategy.model.eval()
    before = {path: snapshot(value) for path, value in holdings(strategy)}
    yield
    after = {path: value if isinstance(value, Tensor | np.ndarray) else repr(value) for path, value in holdings(strategy)}
    changed = [path for path in [*after, *before] if path not in before or path not in after or not same(before[path], after[path])]
    if changed:
        where = changed[0]
        raise TraceError(
            f"session {session}: testing changed {where}; embed and scores must leave a method as it was "
            f"(nothing may be learnt from test images)"
        )


def numbers_kept(strategy: SessionStrategy) -> int:
    """Count of the numbers that a strategy holds beside its network and its exemplars: prototypes, features, a teacher."""
    own = {id(tensor) for tensor in (*strategy.model.parameters(), *strategy.model.buffers())}
    held = (value for _, value in holdings(strategy, (*NOT_ITS_OWN, *OF_ONE_SESSION)) if isinstance(value, Tensor | np.ndarray))
    return sum(value.numel() if isinstance(value, Tensor) else value.size for value in held if id(value) not in own)


def images_outside(strategy: SessionStrategy, shapes: Sequence[tuple[int, ...]]) -> list[tuple[str, int]]:
    """Paths at which a strategy holds images outside its memory, and how many: [..., C, S, S], or flattened to [..., C * S * S].

    Two kinds of tensors do not count as flattened images: those in the shape of a parameter (its importances or its gradient), and
    those whose last dimension is the feature dimension.
    """
    parameters = {tuple(parameter.shape) for parameter in strategy.model.parameters()}
    flat = {int(np.prod(shape)) for shape in shapes} - {strategy.model.feature_dim}
    found = []
    for path, value in holdings(strategy):
        if isinstance(value, Tensor | np.ndarray) and (shape := tuple(value.shape)):
            count = next((int(np.prod(shape[:-3])) for image in shapes if shape[-3:] == image), 0)
            if not count and shape[-1] in flat and shape not in parameters:
                count = int(np.prod(shape[:-1]))
            if count:
                found.append((path, count))
    return found
