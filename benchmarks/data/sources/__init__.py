"""Where images come from: one file a data set, each finding its files under the data root and reading them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.data.sources.raw import Found
from protocols.schema import Data


def locate(data: Data, root: Path) -> Found:
    """The source's files under `root`, downloaded where that is possible. Raises DataError saying what to fetch."""
    module = import_module(f"benchmarks.data.sources.{data.source}")
    find: Callable[[Data, Path], Found] = module.locate
    return find(data, root)
