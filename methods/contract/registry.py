"""Finds methods by name. A file `methods/<name>.py` is a method. Its source is parsed, not imported, until the method runs."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocols.loading import first_line, unknown
from protocols.reading import InputError, odd_space, short
from protocols.schema import BaseRecipe

if TYPE_CHECKING:
    from methods.contract.base_kind import BaseKind
    from methods.contract.strategy import SessionStrategy

FOLDER = Path(__file__).resolve().parent.parent
BASES = FOLDER / "bases"
GROUP = "[a-z][a-z0-9_]{0,63}"
"""Form of a group's name, which becomes part of the name of a page."""
OUT_OF_BOUNDS = {"benchmarks", "gc", "ctypes"}
"""Packages that a method's file may not import. The runner holds the test images; gc and ctypes give access to any object."""


class MethodError(InputError):
    """A method or preset does not exist, or a file is not a method. The message is one line for the user."""


@dataclass(frozen=True)
class Entry:
    """Facts read from a method's source, enough to list the method and to check a command line."""

    name: str
    title: str
    summary: str
    presets: tuple[str, ...]
    class_name: str
    group: str = ""


def method_names() -> list[str]:
    return sorted(p.stem for p in FOLDER.glob("*.py") if not p.name.startswith(("_", ".")))


def read_entry(name: str) -> Entry:
    """Reads the method's entry from its source without executing it. Raises MethodError."""
    if name not in method_names():
        raise MethodError(unknown("method", name, method_names()))
    path = FOLDER / f"{name}.py"
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise MethodError(f"{path}: not valid Python ({error})") from None
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom) and (reached := imported(node) & OUT_OF_BOUNDS):
            raise MethodError(f"{path}, line {node.lineno}: imports {min(reached)}; a method gets what it may touch from its context")
    for node in module.body:
        if isinstance(node, ast.ClassDef) and "title" in (facts := literals(node)):
            title = facts["title"]
            if title is not None and not (isinstance(title, str) and title.strip() and title.isprintable()):
                odd = odd_space(title) if isinstance(title, str) else ""
                raise MethodError(f"{path}: title of {node.name} must be one line of printable text{odd and f' ({odd})'}")
            presets = facts.get("presets", {"default": {}})
            if not isinstance(presets, dict) or not presets:
                raise MethodError(f"{path}: presets of {node.name} must be a literal dictionary with at least one entry")
            group = facts.get("group", "")
            if not isinstance(group, str) or (group and not re.fullmatch(GROUP, group)):
                raise MethodError(f"{path}: group of {node.name} must be a literal of a-z, 0-9 and _, at most 64 letters")
            summary = (ast.get_docstring(module) or "").splitlines() or [""]
            return Entry(name, str(facts["title"]), summary[0], tuple(presets), node.name, group)
    raise MethodError(f"{path}: no class with a title; a method derives from SessionStrategy and sets title")


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Top-level packages that the statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]}


def literals(node: ast.ClassDef) -> dict[str, Any]:
    """Class attributes by name, with their value if it is a literal, else None."""
    found: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            try:
                found[target.id] = ast.literal_eval(value)
            except (ValueError, TypeError):
                found[target.id] = None  # defined, but its value is known only when the file runs
    return found


def parse_variant(text: str) -> tuple[Entry, str, str | None]:
    """Parses `method`, `method:preset` or either with `@kind` into entry, preset (default: the first one) and base kind (None: the
    method's own). Raises MethodError."""
    named, at, kind = text.strip().partition("@")
    name, _, preset = named.partition(":")
    entry = read_entry(name)
    preset = preset or entry.presets[0]
    if preset not in entry.presets:
        raise MethodError(f"{name}: {unknown('preset', preset, list(entry.presets))}")
    if at and kind not in (known := base_kind_names()):
        raise MethodError(f"{short(text)}: {unknown('base kind', kind, known)}")
    return entry, preset, kind if at else None


def load_method(name: str) -> type[SessionStrategy]:
    """Imports the method's class. Raises MethodError if the file cannot be imported or is not a method."""
    from methods.contract.strategy import SessionStrategy

    entry = read_entry(name)
    try:
        method = getattr(importlib.import_module(f"methods.{name}"), entry.class_name)
    except Exception as error:  # a user's file may fail in any way
        raise MethodError(f"methods/{name}.py cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    if not (isinstance(method, type) and issubclass(method, SessionStrategy)):
        raise MethodError(f"methods/{name}.py: {entry.class_name} must derive from methods.contract.strategy.SessionStrategy")
    if tuple(method.presets) != entry.presets:
        raise MethodError(f"methods/{name}.py: {entry.class_name} must write out its presets, even if it shares another method's")
    return method


def base_kind_names() -> list[str]:
    return sorted(path.stem for path in BASES.glob("*.py") if not path.name.startswith(("_", ".")))


def load_base_kind(name: str) -> type[BaseKind]:
    """Imports a base kind's class. Raises MethodError if there is none of that name or its file cannot be imported."""
    from methods.contract.base_kind import BaseKind

    if name not in (known := base_kind_names()):
        raise MethodError(unknown("base kind", name, known))
    try:
        module = importlib.import_module(f"methods.bases.{name}")
    except Exception as error:  # a user's file may fail in any way
        raise MethodError(f"methods/bases/{name}.py cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, BaseKind) and v.__module__ == module.__name__]
    if len(kinds) != 1:
        raise MethodError(f"methods/bases/{name}.py: must hold one class that derives from BaseKind (has {len(kinds)})")
    kind = kinds[0]
    if taken := sorted(set(kind.Config.model_fields) & set(BaseRecipe.model_fields)):
        raise MethodError(f"methods/bases/{name}.py: {taken[0]} is a setting of every recipe; give the field of Config another name")
    return kind


def kind_and_parents(name: str) -> list[str]:
    """The base kind and those that it goes on with, the first one last. Raises MethodError for a parent that is not there, or a circle."""
    chain = [name]
    while (parent := load_base_kind(chain[-1]).parent) is not None:
        if parent not in (known := base_kind_names()):
            raise MethodError(f"methods/bases/{chain[-1]}.py, parent: {unknown('base kind', parent, known)}")
        if parent in chain:
            raise MethodError(f"methods/bases/{chain[-1]}.py: its parent {parent} leads back to it ({' -> '.join([*chain, parent])})")
        chain.append(parent)
    return chain
