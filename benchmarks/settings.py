"""Where and on what to run: none of it is part of a run's identity."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Folders, device, threads a run, whether long trainings are compiled (the record's `environment` keeps what these came to)."""

    data_root: Path
    results: Path
    device: str = "auto"
    threads: int = 1
    compile: bool = True

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """From the options that `add_options` declares."""
        return cls(options.data_root.resolve(), options.results.resolve(), options.device, options.threads, not options.no_compile)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command of the suite has."""
    add, data_root = parser.add_argument, Path(os.environ.get("FSCIL_DATA", "data"))
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    add("--threads", type=int, default=1, help="threads a run; part of what makes it repeatable bit by bit (default: 1)")
    add("--no-compile", action="store_true", help="do not compile long trainings, even where a compiler is found")
    add("--data-root", type=Path, default=data_root, help="default: $FSCIL_DATA, or data")
    add("--results", type=Path, default=Path("results"), help="default: results")
