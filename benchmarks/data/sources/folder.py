"""A user's own data set: `<data root>/<path>/train/<class>/*` and `test/<class>/*`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.sources.raw import Found
from benchmarks.data.sources.tree import find_tree
from benchmarks.system.errors import DataError, NotHereError
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    folder = root / str(data.path)
    tree = find_tree(folder, str(data.path))
    if tree is None:
        kind = DataError if folder.is_dir() else NotHereError
        raise kind(f"{data.path}: {folder} must hold train/<class>/<images> and test/<class>/<images>")
    return tree
