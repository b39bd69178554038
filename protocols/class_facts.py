"""What a class of methods/ states, read from its source. It stands here because both methods/ and the report ask, and the report loads no
method."""

from __future__ import annotations

import ast

GROUP = "[a-z][a-z0-9_]{0,63}"
"""Form of a group's name, which becomes part of the name of a page."""


def assigned(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Names that a class body assigns, with the assigned expressions."""
    found: dict[str, ast.expr] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            found |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
            found[statement.target.id] = statement.value
    return found
