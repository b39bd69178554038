"""Lists the tensors, arrays and plain values that an object holds, wherever it holds them, each with its path."""

from __future__ import annotations

import array
import functools
import gc
from collections import deque
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, MethodType, ModuleType, TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.base.tensors import same_bits

SCALARS = (str, int, float, complex, bool, type(None), np.generic)
NUMBERS = (int, float, np.number, np.bool_)
NOTHING_HELD = (ModuleType, type, CodeType, FrameType, TracebackType, torch.device, torch.dtype)
"""Types of objects that are not searched: they hold nothing, or what all share."""
NOT_A_METHODS = ("typing", "benchmarks.running.probes", "benchmarks.running.telling")
"""Modules whose objects are not searched. What a study's probe notes is no method's, nor is what tells of its progress."""
PARTS = ("_parameters", "_buffers", "_modules")
"""Attributes of a torch module that hold its parts, which are named without them."""


class Leaf(NamedTuple):
    """A tensor, an array or a plain value. `of` says from what an array was made: a "list" of numbers, "bytes", or "" for a real one."""

    path: str
    value: Any
    of: str = ""


class Search:
    """Searches objects, each only once. `seen` holds the ids of those that were visited already.

    `caches` says whether to look into the results of functions under `functools.cache`.
    """

    def __init__(self, seen: set[int], caches: bool = True) -> None:
        self.seen, self.caches = seen, caches

    def leaves(self, value: Any, path: str) -> Iterator[Leaf]:
        """What this object holds in attributes, slots, containers, closures, default arguments, iterators and generators."""
        if isinstance(value, SCALARS):
            yield Leaf(path, value)
            return
        if id(value) in self.seen or isinstance(value, NOTHING_HELD) or type(value).__module__.startswith(NOT_A_METHODS):
            return
        self.seen.add(id(value))
        if isinstance(value, Tensor | np.ndarray):
            yield Leaf(path, value)
            if isinstance(value, np.ndarray) and value.dtype == object:
                yield from self.each(value.flat, path)
        elif isinstance(value, bytes | bytearray | memoryview | array.array):
            yield Leaf(path, np.frombuffer(value, np.uint8) if isinstance(value, bytes | bytearray) else np.asarray(value), "bytes")
        elif isinstance(value, dict):
            for key, item in list(value.items()):  # what is weak in it may go while this walks
                yield from () if isinstance(key, SCALARS) else self.leaves(key, f"a key of {path}")
                yield from self.leaves(item, f"{path}[{key!r}]" if isinstance(key, SCALARS) else f"{path}[...]")
        elif isinstance(value, set | frozenset | list | tuple | deque):
            yield from self.collection(value, path)
        elif isinstance(value, nn.Module):
            for name in PARTS:
                for key, part in vars(value).get(name, {}).items():
                    yield from self.leaves(part, f"{path}.{key}")
        elif isinstance(value, FunctionType | functools._lru_cache_wrapper):
            yield from self.function(value, path)
        elif isinstance(value, MethodType):
            yield from self.leaves(value.__func__, path)
            yield from self.leaves(value.__self__, path)
        elif hasattr(type(value), "__array_interface__"):  # a picture of PIL
            pixels = np.asarray(value)
            yield Leaf(path, pixels[None] if pixels.ndim == 2 else pixels)
        else:  # an iterator, a generator, an object of a class
            yield from self.attributes(value, path)
            yield from self.inside(value, path)
            return
        yield from self.attributes(value, path)

    def attributes(self, value: Any, path: str) -> Iterator[Leaf]:
        self.seen.add(id(getattr(value, "__dict__", None)))
        for name, item in attributes(value).items():
            if not (isinstance(value, nn.Module) and name in PARTS):
                yield from self.leaves(item, f"{path}.{name}")

    def collection(self, value: Any, path: str) -> Iterator[Leaf]:
        if of_set := isinstance(value, set | frozenset):
            value = list(value)
        numbers = None if of_set else as_array(value)
        if numbers is not None:
            yield Leaf(path, numbers, "list")
        elif all(isinstance(item, SCALARS) for item in value):
            yield Leaf(path, repr(sorted(map(repr, value)) if of_set else value))
        else:
            yield from self.each(value, path)

    def each(self, values: Any, path: str) -> Iterator[Leaf]:
        for number, item in enumerate(values):
            yield from self.leaves(item, f"{path}[{number}]")

    def function(self, value: Any, path: str) -> Iterator[Leaf]:
        """What a function keeps in its closure, its default arguments and, if it is cached, its cache."""
        if isinstance(value, functools._lru_cache_wrapper):
            if self.caches and cache_is_of_a_method(value):
                yield from self.inside(value, f"the cache of {path}")
            return
        for cell in value.__closure__ or ():
            try:
                yield from self.leaves(cell.cell_contents, path)
            except ValueError:  # an empty cell
                continue
        for item in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
            yield from self.leaves(item, f"a default of {path}")

    def inside(self, value: Any, path: str) -> Iterator[Leaf]:
        """What the garbage collector finds in an object that does not show its parts."""
        for item in gc.get_referents(value):
            if not isinstance(item, SCALARS):
                yield from self.leaves(item, path)


def is_of_methods(value: Any) -> bool:
    """Whether a class or function is defined in methods/."""
    return str(getattr(value, "__module__", "")).startswith("methods.")


def cache_is_of_a_method(function: Any) -> bool:
    """Whether a function under `functools.cache` is a method's own.

    What is cached in methods/parts (a compiled function) depends on arguments alone, and may be expensive.
    """
    return is_of_methods(function) and not function.__module__.startswith(("methods.parts", "methods.contract"))


def attributes(value: Any) -> dict[str, Any]:
    """An object's attributes, in its `__dict__` and in its slots."""
    own = getattr(value, "__dict__", None)
    found = {}
    for name, descriptor in slots(type(value)):  # type: ignore[arg-type]  # classes are hashable
        try:
            found[name] = descriptor.__get__(value)
        except AttributeError:  # a slot that nothing was put into
            continue
    return {**found, **own} if isinstance(own, dict) else found


@functools.lru_cache(maxsize=1024)
def slots(cls: type) -> tuple[tuple[str, Any], ...]:
    """Names and descriptors of the slots that a class and its bases declare."""
    return tuple(
        (n, d) for base in cls.__mro__ for n, d in vars(base).items() if isinstance(d, MemberDescriptorType) and "__slots__" in vars(base)
    )


def as_array(value: Any) -> NDArray[Any] | None:
    """A list of numbers, or lists of equal length of them to any depth, as an array; None for anything else."""
    if not value:
        return None
    if all(isinstance(item, NUMBERS) for item in value):
        found = np.asarray(value)
        return found if found.dtype != object else None
    if not all(isinstance(item, list | tuple | deque) for item in value):
        return None
    parts = [as_array(item) for item in value]
    first = parts[0]
    if first is None or any(part is None or part.shape != first.shape for part in parts):
        return None
    return np.stack([part for part in parts if part is not None])


def snapshot(value: Any) -> Any:
    """A copy of a tensor or an array; the repr of any other value."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else repr(value)


def same(before: Any, after: Any) -> bool:
    """Whether two snapshots are equal bit by bit: NaN equals NaN, and -0 does not equal 0."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return same_bits(before, after)
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return before.shape == after.shape and before.dtype == after.dtype and before.tobytes() == after.tobytes()
    return type(before) is type(after) and bool(before == after)
