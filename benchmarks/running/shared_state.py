"""State that all runs of a process share: attributes of classes, globals of modules of methods/, settings of the process.

A run must leave it as it was, or what another run finds would depend on the runs before it. It is put back after every run, and a run
that changed it is refused. Functions under `functools.cache` may fill their caches; these are emptied, except in methods/parts.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor, nn

from benchmarks.running.kept import GENERATORS, Array, Cells, Container, Generator, Kept, Namespace, is_dunder
from benchmarks.running.leaves import SCALARS, attributes, cache_is_of_a_method, is_of_methods
from benchmarks.system.process_settings import ProcessSettings

UNCHANGING = (*SCALARS, bytes, ModuleType, BuiltinFunctionType)
PLAIN_OBJECTS = (nn.Module, SimpleNamespace, argparse.Namespace)


class SharedStateError(RuntimeError):
    """A run has changed something that other runs share."""


@contextmanager
def left_as_it_was(load: Callable[[], object]) -> Iterator[None]:
    """Runs code of a method, and puts back what it changed of the state that all runs share. `load` imports the method.

    Raises SharedStateError if something was changed. If the code fails, its own error is raised, unless a setting of the process was
    changed, which may be its cause.
    """
    settings = ProcessSettings()
    state: MethodState | None = None
    try:
        load()
        state = MethodState()
        yield
    except BaseException as error:
        changed = settings.put_back()
        if state is not None:
            state.put_back()
        if changed and isinstance(error, Exception):
            raise SharedStateError(f"sets {changed[0]}; a method must leave it as it was") from error
        raise
    changed, told = settings.put_back(), state.put_back()
    if changed:
        raise SharedStateError(f"sets {changed[0]}; a method must leave it as it was")
    if told:
        raise SharedStateError(f"changes {told[0]}, which all runs share; keep what belongs to a run in self")


class MethodState:
    """The content of everything mutable that modules of methods/ hold in globals, classes and functions, at the time when it is made."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.caches: list[Any] = []
        self.seen: set[int] = set()
        self.modules = modules()
        for name, module in self.modules.items():
            self.keep(Namespace(name, module))
            for key, value in list(vars(module).items()):
                if not is_dunder(key):
                    self.visit(value, f"{name}.{key}")

    def keep(self, kept: Kept) -> None:
        self.kept.append(kept)

    def visit(self, value: Any, path: str) -> None:
        """Remembers this object, if it is mutable, and those that it holds."""
        if isinstance(value, UNCHANGING) or id(value) in self.seen:
            return
        self.seen.add(id(value))
        if isinstance(value, type):
            if is_of_methods(value):
                self.keep(Namespace(f"{value.__module__}.{value.__qualname__}", value))
                for key, item in list(vars(value).items()):
                    if not is_dunder(key) or isinstance(item, FunctionType):
                        self.visit(item, f"{value.__module__}.{value.__qualname__}.{key}")
        elif isinstance(value, functools._lru_cache_wrapper):
            if cache_is_of_a_method(value):
                self.caches.append(value)
            self.visit(value.__wrapped__, path)
        elif isinstance(value, FunctionType):
            if is_of_methods(value):
                self.items(path, (value.__defaults__, value.__kwdefaults__))
                if value.__closure__:
                    cells = Cells(path, value)
                    self.keep(cells)
                    self.items(path, cells.content)
                self.entries(path, vars(value), Namespace(path, value))
        elif isinstance(value, MethodType | staticmethod | classmethod):
            self.items(path, (value.__func__, getattr(value, "__self__", None)))
        elif isinstance(value, property):
            self.items(path, (value.fget, value.fset))
        elif isinstance(value, functools.partial):
            self.items(path, (value.func, value.args, value.keywords))
        elif isinstance(value, dict):
            self.entries(path, value, Container(path, value))
        elif isinstance(value, list | deque | set):
            self.keep(Container(path, value))
            self.items(path, value)
        elif isinstance(value, tuple | frozenset):
            self.items(path, value)
        elif isinstance(value, bytearray | Tensor | np.ndarray):
            self.keep(Array(path, value))
        elif isinstance(value, GENERATORS):
            self.keep(Generator(path, value))
        elif isinstance(value, PLAIN_OBJECTS) or is_of_methods(type(value)):
            self.keep(Namespace(path, value))
            for key, item in attributes(value).items():
                self.visit(item, f"{path}.{key}")

    def entries(self, path: str, value: dict[Any, Any], kept: Kept) -> None:
        self.keep(kept)
        for key, item in list(value.items()):
            self.visit(item, f"{path}[{key!r}]" if isinstance(key, str | int) else path)

    def items(self, path: str, values: Any) -> None:
        for value in list(values):
            self.visit(value, path)

    def put_back(self) -> list[str]:
        """Restores all of it, empties the caches, and returns the names of what had changed."""
        changed = [(kept, names) for kept in self.kept if (names := kept.changes())]
        for kept, _ in changed:
            kept.restore()
        for cache in self.caches:
            cache.cache_clear()
        for name in modules().keys() - self.modules.keys():  # a next run imports them anew
            sys.modules.pop(name)
            package, _, last = name.rpartition(".")
            if package in sys.modules:
                vars(sys.modules[package]).pop(last, None)
        return [name for _, names in changed for name in names]


def modules() -> dict[str, ModuleType]:
    """The imported modules of methods/, by name."""
    return {name: sys.modules[name] for name in list(sys.modules) if name[:7] == "methods" and name[7:8] in ("", ".")}
