"""The content of one mutable object: copied when an instance is made, compared later, and restored in place."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.running.leaves import SCALARS, attributes, same, snapshot

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random, itertools.count)
FOR_ALL = [torch.default_generator, *(getattr(draw, "__self__", None) for draw in (np.random.seed, random.seed))]
"""The global generators, which are seeded anew for each run."""
COMPILER = ("__", "torch_dynamo", "_torch")
"""Beginnings of names that torch's compiler, or Python itself, adds to modules, classes and functions."""


class Kept:
    """A mutable object and a copy of its content, as it was when this was made. `path` says where the object is."""

    def __init__(self, path: str, owner: Any) -> None:
        self.path, self.owner = path, owner
        self.content = self.now()

    def now(self) -> Any:
        """The object's content, copied."""
        raise NotImplementedError

    def changes(self) -> list[str]:
        """Paths of what has changed in the object."""
        raise NotImplementedError

    def restore(self) -> None:
        """Gives the object its former content."""
        raise NotImplementedError


def is_dunder(name: str) -> bool:
    return name[:2] == "__" == name[-2:]


def same_item(before: Any, after: Any) -> bool:
    """Whether both are the same object, or equal plain values."""
    return before is after or (type(before) is type(after) and isinstance(before, SCALARS) and bool(before == after))


def same_items(before: Sequence[Any], after: Sequence[Any]) -> bool:
    return len(before) == len(after) and all(map(same_item, before, after))


def same_state(before: Any, after: Any) -> bool:
    """Whether two states of a generator are equal: nested mappings and tuples of plain values, arrays and tensors."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(same_state(before[key], after[key]) for key in before)
    if isinstance(before, tuple) and isinstance(after, tuple):
        return len(before) == len(after) and all(map(same_state, before, after))
    return same(before, after)


class Namespace(Kept):
    """The attributes of a module, class, function or object."""

    def now(self) -> dict[str, Any]:
        held = vars(self.owner) if isinstance(self.owner, type | ModuleType | FunctionType) else attributes(self.owner)
        return {name: value for name, value in held.items() if not is_dunder(name) or isinstance(value, FunctionType)}

    def changed(self) -> list[str]:
        now, before = self.now(), self.content
        new = [name for name in now if name not in before and not name.startswith(COMPILER) and not isinstance(now[name], ModuleType)]
        return [name for name in before if name not in now or not same_item(before[name], now[name])] + new

    def changes(self) -> list[str]:
        return [f"{self.path}.{name}" for name in self.changed()]

    def restore(self) -> None:
        put, remove = setter(self.owner)
        for name in self.changed():
            if name in self.content:
                put(self.owner, name, self.content[name])
            else:
                remove(self.owner, name)


def setter(owner: Any) -> tuple[Callable[[Any, str, Any], None], Callable[[Any, str], None]]:
    """The functions that set and delete an attribute of this object, past those of its own class."""
    if isinstance(owner, ModuleType | FunctionType):
        return setattr, delattr
    base: Any = type if isinstance(owner, type) else object
    return base.__setattr__, base.__delattr__


class Container(Kept):
    """A dictionary, list, deque or set, including derived ones."""

    def now(self) -> list[Any]:
        return [part for item in self.owner.items() for part in item] if isinstance(self.owner, dict) else list(self.owner)

    def changes(self) -> list[str]:
        alike = set(self.content) == self.owner if isinstance(self.owner, set) else same_items(self.content, self.now())
        return [] if alike else [self.path]

    def restore(self) -> None:
        self.owner.clear()
        if isinstance(self.owner, dict):
            self.owner.update(zip(self.content[::2], self.content[1::2], strict=True))
        elif isinstance(self.owner, set):
            self.owner.update(self.content)
        else:
            self.owner.extend(self.content)


class Cells(Kept):
    """The variables that a function, the `owner`, shares with the function around it."""

    EMPTY = object()

    def now(self) -> list[Any]:
        found = []
        for cell in self.owner.__closure__ or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:
                found.append(self.EMPTY)
        return found

    def changes(self) -> list[str]:
        return [] if same_items(self.content, self.now()) else [self.path]

    def restore(self) -> None:
        for cell, before, after in zip(self.owner.__closure__ or (), self.content, self.now(), strict=True):
            if not same_item(before, after):
                if before is self.EMPTY:
                    del cell.cell_contents
                else:
                    cell.cell_contents = before


class Array(Kept):
    """A tensor, an array or a bytearray."""

    def now(self) -> Any:
        return bytes(self.owner) if isinstance(self.owner, bytearray) else snapshot(self.owner)

    def changes(self) -> list[str]:
        alike = bytes(self.owner) == self.content if isinstance(self.owner, bytearray) else same(self.content, self.owner)
        return [] if alike else [self.path]

    def restore(self) -> None:
        if isinstance(self.owner, Tensor):
            self.owner.data = self.content
        elif isinstance(self.owner, bytearray):
            self.owner[:] = self.content
        else:
            self.owner[...] = self.content


class Generator(Kept):
    """A source of random or consecutive numbers, other than the global ones. A count cannot be restored."""

    def now(self) -> Any:
        if isinstance(self.owner, torch.Generator):
            return self.owner.get_state()
        if isinstance(self.owner, np.random.Generator):
            return self.owner.bit_generator.state
        if isinstance(self.owner, np.random.RandomState):
            return self.owner.get_state()
        return self.owner.getstate() if isinstance(self.owner, random.Random) else repr(self.owner)

    def changes(self) -> list[str]:
        if any(self.owner is generator for generator in FOR_ALL) or same_state(self.content, self.now()):
            return []
        return [self.path]

    def restore(self) -> None:
        if isinstance(self.owner, np.random.Generator):
            self.owner.bit_generator.state = self.content
        elif isinstance(self.owner, torch.Generator | np.random.RandomState):
            self.owner.set_state(self.content)
        elif isinstance(self.owner, random.Random):
            self.owner.setstate(self.content)
