"""Finds methods by name. A file `methods/<name>.py`, or `<name>.py` in the user's own folder (protocols/own_folder.py), is a method. Its
source is parsed, not imported, until the method runs."""

from __future__ import annotations

import ast
import importlib
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from methods.parts.own_files import join_own_folder, out_of_bounds
from protocols.loading import first_line, unknown
from protocols.own_folder import is_backbone, methods_in, own_folder
from protocols.reading import InputError, odd_space, short
from protocols.schema import BaseRecipe
from protocols.unchanged import kept_unchanged

if TYPE_CHECKING:
    from methods.contract.base_kind import BaseKind
    from methods.contract.strategy import SessionStrategy

FOLDER = Path(__file__).resolve().parent.parent
BASES = FOLDER / "bases"
GROUP = "[a-z][a-z0-9_]{0,63}"
"""Form of a group's name, which becomes part of the name of a page."""


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
    needs: str = ""


def folders() -> list[Path]:
    """Folders that hold methods: the suite's, and the user's own if there is one."""
    own = own_folder()
    return [FOLDER] if own is None else [FOLDER, own]


def method_files() -> dict[str, Path]:
    """Files of all methods, by name."""
    return {path.stem: path for folder in reversed(folders()) for path in methods_in(folder) if not is_backbone(path)}


def method_file(name: str) -> Path | None:
    """The file of this method alone, of which the others need not be looked at; None if there is none."""
    found = (path for folder in folders() for path in methods_in(folder) if path.stem == name)
    return next((path for path in found if not is_backbone(path)), None)


def kind_files() -> dict[str, Path]:
    """Files of all base kinds, by name."""
    return {path.stem: path for folder in reversed(kind_folders()) for path in methods_in(folder)}


def kind_file(name: str) -> Path | None:
    """The file of this base kind; None if there is none."""
    return next((path for folder in kind_folders() for path in methods_in(folder) if path.stem == name), None)


def kind_folders() -> list[Path]:
    """Folders that hold base kinds: the suite's, and the user's own if there is one."""
    return [BASES, *(folder / "bases" for folder in folders()[1:])]


def method_names() -> list[str]:
    return sorted(method_files())


def read_entry(name: str) -> Entry:
    """Reads the method's entry from its source without executing it. Raises MethodError."""
    path = method_file(name)
    if path is None:
        raise MethodError(unknown("method", name, method_names()))
    return entry_in(path)


@kept_unchanged
def entry_in(path: Path) -> Entry:
    """The entry of a method's file. Raises MethodError."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise MethodError(f"{path}: not valid Python ({error})") from None
    if (reached := out_of_bounds(module)) is not None:
        raise MethodError(f"{path}, line {reached[0]}: imports {reached[1]}; a method gets what it may touch from its context")
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
            return Entry(path.stem, str(facts["title"]), summary[0], tuple(presets), node.name, group, str(facts.get("needs", "")))
    raise MethodError(f"{path}: no class with a title; a method derives from SessionStrategy and sets title")


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
    method = getattr(imported_file("methods", name), entry.class_name, None)
    if not (isinstance(method, type) and issubclass(method, SessionStrategy)):
        raise MethodError(f"{shown('methods', name)}: {entry.class_name} must derive from methods.contract.strategy.SessionStrategy")
    if tuple(method.presets) != entry.presets:
        raise MethodError(f"{shown('methods', name)}: {entry.class_name} must write out its presets, even if it shares another method's")
    return method


def imported_file(package: str, name: str) -> ModuleType:
    """Imports a file of methods/ or methods/bases/, or of the user's own folder. Raises MethodError."""
    try:
        join_own_folder(package)
        return importlib.import_module(f"{package}.{name}")
    except Exception as error:  # a user's file may fail in any way
        why, line = f"{type(error).__name__}: {first_line(error)}", line_of(error, name)
        raise MethodError(f"{shown(package, name)} cannot be imported: {why}" + (f" (line {line})" if line else "")) from error


def line_of(error: Exception, name: str) -> int | None:
    """The last line of this method's file that led to the error; None if the error did not come from it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == f"{name}.py"]
    return lines[-1] if lines else None


def shown(package: str, name: str) -> str:
    """The file of a method or base kind as messages name it: `methods/lecnet.py`, or the path of a user's own."""
    path = method_file(name) if package == "methods" else kind_file(name)
    own = own_folder()
    return str(path) if path is not None and own is not None and path.is_relative_to(own) else f"{package.replace('.', '/')}/{name}.py"


def base_kind_names() -> list[str]:
    return sorted(kind_files())


def load_base_kind(name: str) -> type[BaseKind]:
    """Imports a base kind's class. Raises MethodError if there is none of that name or its file cannot be imported."""
    from methods.contract.base_kind import BaseKind

    if kind_file(name) is None:
        raise MethodError(unknown("base kind", name, base_kind_names()))
    module = imported_file("methods.bases", name)
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, BaseKind) and v.__module__ == module.__name__]
    if len(kinds) != 1:
        raise MethodError(f"{shown('methods.bases', name)}: must hold one class that derives from BaseKind (has {len(kinds)})")
    kind = kinds[0]
    if taken := sorted(set(kind.Config.model_fields) & {*BaseRecipe.model_fields, "after"}):
        raise MethodError(f"{shown('methods.bases', name)}: {taken[0]} is a setting of every recipe; give the field of Config another name")
    return kind


def kind_and_parents(name: str, replaced: Mapping[str, str] | None = None) -> list[str]:
    """The base kind and those that it goes on with, the first one last. `replaced` are parents that a recipe gives to kinds. Raises
    MethodError for a parent that is not there, or a circle."""
    chain, where, given = [name], "methods.bases", replaced or {}
    while (parent := given.get(chain[-1], load_base_kind(chain[-1]).parent)) is not None:
        if kind_file(parent) is None:
            raise MethodError(f"{shown(where, chain[-1])}, parent: {unknown('base kind', parent, base_kind_names())}")
        if parent in chain:
            raise MethodError(f"{shown(where, chain[-1])}: its parent {parent} leads back to it ({' -> '.join([*chain, parent])})")
        chain.append(parent)
    return chain
