"""The names that a file's import statements bring, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Sequence

Imported = tuple[str, str | None, str | None]
"""Module, name imported from it (None: the module itself), and the local alias, if any."""


def names_of(node: ast.AST, package: Sequence[str]) -> list[Imported]:
    """The names that an import statement in a file of this package imports; empty for other nodes."""
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        return [(module, alias.name, alias.asname) for alias in node.names]
    return [(alias.name, None, alias.asname) for alias in node.names] if isinstance(node, ast.Import) else []
