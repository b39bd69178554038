"""What the classes of methods and base kinds state as literals, read from their sources: a page is written without importing any."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records.source_hash import PACKAGE, module_path
from protocols import class_facts
from protocols.unchanged import kept_unchanged

GROUP = f"({class_facts.GROUP})?"
"""Form of a record's group; empty for no group."""


def stated_presets(method: str) -> dict[str, dict[str, Any]] | None:
    """The `presets` that a method's class states as literals; None where they cannot be read."""
    values = class_values(method)
    if values is None:
        return None
    try:
        presets = ast.literal_eval(values["presets"]) if "presets" in values else {"default": {}}
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None
    whole = isinstance(presets, dict) and all(isinstance(preset, dict) for preset in presets.values())
    return presets if whole else None


def stated_version(method: str) -> int | None:
    """The `version` stated by a method's class, 1 if it states none; None if the class cannot be read."""
    values = class_values(method)
    return None if values is None else version_in([values])


def stated_kind_version(kind: str) -> int | None:
    """The `version` stated by a base kind's class, 1 if it states none; None if its file cannot be read."""
    classes = classes_of(f"{PACKAGE}.bases.{kind}")
    return None if classes is None else version_in(classes)


def version_in(classes: Sequence[Mapping[str, ast.expr]]) -> int | None:
    """The first `version` that one of these classes assigns, 1 if none does; None if it is no whole number written out."""
    version = next((values["version"] for values in classes if "version" in values), ast.Constant(1))
    return version.value if isinstance(version, ast.Constant) and isinstance(version.value, int) else None


def stated_group(method: str) -> str | None:
    """The `group` that a method's class states, '' for none; None where it cannot be read."""
    values = class_values(method)
    if values is None:
        return None
    group = values.get("group", ast.Constant(""))
    return group.value if isinstance(group, ast.Constant) and isinstance(group.value, str) and re.fullmatch(GROUP, group.value) else None


def stated_parent(kind: str, unknown: str | None = None) -> str | None:
    """The `parent` stated by a base kind's class, None if it states none; `unknown` where its file cannot be read."""
    classes = classes_of(f"{PACKAGE}.bases.{kind}")
    if classes is None:
        return unknown
    stated = (values.get("parent") for values in classes)
    return next((str(parent.value) for parent in stated if isinstance(parent, ast.Constant)), None)


def class_values(method: str) -> dict[str, ast.expr] | None:
    """What the class of a method's file assigns; None if there is no such class, or the file cannot be read."""
    return next((values for values in classes_of(f"{PACKAGE}.{method}") or () if "title" in values), None)


def classes_of(module: str) -> tuple[dict[str, ast.expr], ...] | None:
    """What each class of a module of methods/ assigns; None if its file cannot be read."""
    path = module_path(module)
    return classes_in(path) if path is not None else None


@kept_unchanged
def classes_in(path: Path) -> tuple[dict[str, ast.expr], ...] | None:
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    return tuple(class_facts.assigned(node) for node in body if isinstance(node, ast.ClassDef))
