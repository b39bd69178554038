"""Files of the user's folder as parts of the package `methods`: what watches the code of methods goes by the name of the module."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from protocols.own_folder import own_folder

_joined: set[str] = set()
"""Folders of the user's that stand in the paths of the packages."""


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
