"""Names and facts of all methods and base kinds, read from their sources: nothing is imported until a method runs (loading.py)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.contract.facts import FAULTS
from methods.contract.files import kind_files, method_file, method_files
from methods.parts.own_files import out_of_bounds
from protocols.class_facts import assigned
from protocols.messages import unknown
from protocols.reading import InputError, short
from protocols.unchanged import kept_unchanged


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


def method_names() -> list[str]:
    return sorted(method_files())


def base_kind_names() -> list[str]:
    return sorted(kind_files())


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
        module = ast.parse(path.read_bytes())  # which knows a byte order mark, as Python does
    except (SyntaxError, ValueError) as error:
        raise MethodError(f"{path}: not valid Python ({error})") from None
    if (reached := out_of_bounds(module)) is not None:
        raise MethodError(f"{path}, line {reached[0]}: imports {reached[1]}; a method gets what it may touch from its context")
    titled = {node.name: facts for node in module.body if isinstance(node, ast.ClassDef) and "title" in (facts := literals(node))}
    if not titled:
        raise MethodError(f"{path}: no class with a title; a method derives from SessionStrategy and sets title")
    if len(titled) > 1:
        raise MethodError(f"{path}: {len(titled)} classes with a title ({', '.join(titled)}); a file holds one method, so move the others")
    [(class_name, facts)] = titled.items()
    stated = {"title": facts["title"], "presets": facts.get("presets", {"default": {}}), "group": facts.get("group", "")}
    for what, fault_of in FAULTS.items():
        if (fault := fault_of(stated[what])) and not (what == "title" and stated[what] is None):
            raise MethodError(f"{path}: {what} of {class_name} {fault}")
    presets, group = tuple(stated["presets"]), stated["group"]
    summary = (ast.get_docstring(module) or "").splitlines() or [""]
    return Entry(path.stem, str(facts["title"]), summary[0], presets, class_name, group, str(facts.get("needs", "")))


def literals(node: ast.ClassDef) -> dict[str, Any]:
    """Class attributes by name, with their value if it is a literal, else None."""
    found: dict[str, Any] = {}
    for name, value in assigned(node).items():
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, TypeError):
            found[name] = None  # defined, but its value is known only when the file runs
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
