"""Makes the process independent of its surroundings, before libraries read them: screen, home folder, user name, terminal.

`settle()` is called first thing by every command and every worker process; it imports nothing that is slow to import.
"""

from __future__ import annotations

import getpass
import importlib.abc
import importlib.util
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

WRITES_INTO_HOME = "avalanche.benchmarks.datasets.dataset_utils"


def settle() -> None:
    """Figures need no screen, torch finds a user name, Avalanche makes no folder in the user's home, and any text can be printed."""
    warnings.filterwarnings("ignore", message="no QP solver found")  # only GEM needs them; not installed
    warnings.filterwarnings("ignore", message="No loggers specified")  # the suite does its own logging
    os.environ["MPLBACKEND"] = "agg"  # a notebook's backend cannot be loaded here
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a passwd entry; torch names its cache after the user
        os.environ["LOGNAME"] = f"uid{os.getuid()}"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # results may lie in a folder that an ASCII terminal cannot print
            stream.reconfigure(errors="backslashreplace")
    if not any(isinstance(finder, HomeKeeper) for finder in sys.meta_path):
        sys.meta_path.insert(0, HomeKeeper())


def cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class HomeKeeper(importlib.abc.MetaPathFinder):
    """Imports the module of Avalanche that writes ~/.avalanche/config.json with a temporary home folder."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != WRITES_INTO_HOME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            home = os.environ.get("HOME")
            with tempfile.TemporaryDirectory() as folder:
                os.environ["HOME"] = folder
                try:
                    execute(module)
                finally:
                    if home is None:
                        del os.environ["HOME"]
                    else:
                        os.environ["HOME"] = home

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
