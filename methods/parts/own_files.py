"""Files of the user's folder as parts of the package `methods`: what watches the code of methods goes by the name of the module."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

from protocols.own_folder import own_folder

OUT_OF_BOUNDS = {"benchmarks", "gc", "ctypes"}
"""Packages that a file of methods may not import. The runner holds the test images; gc and ctypes give access to any object."""

_joined: set[str] = set()
"""Folders of the user's that stand in the paths of the packages."""


def out_of_bounds(source: ast.Module) -> tuple[int, str] | None:
    """Line and package of an import that a file of methods may not have; None if all of its imports are allowed."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import | ast.ImportFrom) and (reached := imported(node) & OUT_OF_BOUNDS):
            return node.lineno, min(reached)
    return None


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Top-level packages that the statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]}


def join_own_folder(package: str) -> None:
    """Lets `methods` or `methods.bases` find the files of the user's folder, if there is one."""
    own = own_folder()
    if own is not None:
        path, folder = importlib.import_module(package).__path__, str(own if package == "methods" else own / "bases")
        if folder not in path:
            path.append(folder)
            _joined.add(folder)


def forget_own_files() -> None:
    """Forgets what was imported from a folder of the user's, so that the files of the present one are read as they are now."""
    for package in [sys.modules[name] for name in ("methods", "methods.bases") if name in sys.modules]:
        for folder in [one for one in package.__path__ if one in _joined]:
            package.__path__.remove(folder)
    for name, module in list(sys.modules.items()):
        if name.startswith("methods.") and str(Path(getattr(module, "__file__", None) or "").parent) in _joined:
            del sys.modules[name]
    _joined.clear()
    importlib.invalidate_caches()
