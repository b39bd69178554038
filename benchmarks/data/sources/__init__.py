"""Sources of images: one file per data set, which finds the data set's files under the data root and reads them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.data.sources.raw import Found
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    """Finds the source's files under `root`, or downloads them if possible. Raises DataError that says what to fetch."""
    module = import_module(f"benchmarks.data.sources.{data.source}")
    find: Callable[[Data, Path], Found] = module.locate
    return find(data, root)
