"""Imports the classes of methods and base kinds, and says in one line what is wrong with a file."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from methods.contract.files import kind_file, shown
from methods.contract.registry import MethodError, base_kind_names, read_entry
from methods.parts.own_files import join_own_folder
from protocols.messages import first_line, unknown

if TYPE_CHECKING:
    from methods.contract.base_kind import BaseKind
    from methods.contract.strategy import SessionStrategy


def load_method(name: str) -> type[SessionStrategy]:
    """Imports the method's class. Raises MethodError if the file cannot be imported or is not a method."""
    from methods.contract.checking import check_method

    entry = read_entry(name)
    return check_method(getattr(imported_file("methods", name), entry.class_name, None), entry)


def imported_file(package: str, name: str) -> ModuleType:
    """Imports a file of methods/ or methods/bases/, or of the user's own folder. Raises MethodError."""
    try:
        join_own_folder(package)
        return importlib.import_module(f"{package}.{name}")
    except (Exception, SystemExit) as error:  # a user's file may fail in any way
        why, line = ": ".join(filter(None, (type(error).__name__, first_line(error)))), line_of(error, name)
        raise MethodError(f"{shown(package, name)} cannot be imported: {why}" + (f" (line {line})" if line else "")) from error


def line_of(error: BaseException, name: str) -> int | None:
    """The last line of this method's file that led to the error; None if the error did not come from it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == f"{name}.py"]
    return lines[-1] if lines else None


def load_base_kind(name: str) -> type[BaseKind]:
    """Imports a base kind's class. Raises MethodError if there is none of that name or its file cannot be imported."""
    from methods.contract.base_kind import BaseKind
    from methods.contract.checking_kinds import check_kind

    if kind_file(name) is None:
        raise MethodError(unknown("base kind", name, base_kind_names()))
    module = imported_file("methods.bases", name)
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, BaseKind) and v.__module__ == module.__name__]
    if len(kinds) != 1:
        raise MethodError(f"{shown('methods.bases', name)}: must hold one class that derives from BaseKind (has {len(kinds)})")
    return check_kind(kinds[0], shown("methods.bases", name))


def kind_and_parents(name: str, replaced: Mapping[str, str] | None = None) -> list[str]:
    """The base kind and those that it goes on with, the first one last. `replaced` are parents that a recipe gives to kinds. Raises
    MethodError for a parent that is not there, or a circle."""
    chain, where, given = [name], "methods.bases", replaced or {}
    while (parent := given.get(chain[-1], load_base_kind(chain[-1]).parent)) is not None:
        if kind_file(parent) is None:
            raise MethodError(f"{shown(where, chain[-1])}, parent: {unknown('base kind', parent, base_kind_names())}")
        if parent in chain:
            circle = f"leads back to it ({' -> '.join([*chain, parent])})"
            if by_recipe := [kind for kind in chain if kind in given]:
                raise MethodError(f"bases.{by_recipe[-1]}.after: {given[by_recipe[-1]]} {circle}")
            raise MethodError(f"{shown(where, chain[-1])}: its parent {parent} {circle}")
        chain.append(parent)
    return chain
