"""Settings of where and on what to run. They are not part of a run's identity."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOST_THREADS = 1024


@dataclass(frozen=True)
class Settings:
    """Folders, device, threads per run, whether long trainings are compiled and sessions recorded, and the meaning of `precision: auto`.

    `methods_dir` is the folder of the user's own methods (protocols/own_folder.py), which worker processes take, too.

    The record's `environment` stores the resulting device, threads, compiler and precision.
    """

    data_root: Path
    results: Path
    device: str = "auto"
    threads: int = 1
    compile: bool = True
    precision: str = "auto"
    methods_dir: Path | None = None
    own_bases: Path | None = None
    record_sessions: bool = False

    @property
    def bases(self) -> Path:
        """Folder of base models, checkpoints and stored outputs: `.base` among the results unless another is named."""
        return self.own_bases or self.results / ".base"

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """Builds the settings from the options that `add_options` declares, and takes the user's own methods. Raises UsageError or
        ProtocolError."""
        from benchmarks.system.errors import UsageError
        from protocols.own_folder import take_own_folder

        threads = threads_of(options)
        if not re.fullmatch("auto|cpu|cuda(:[0-9]{1,2})?", options.device):
            raise UsageError(f"--device {options.device[:60]}: not to be had; write auto, cpu, cuda or cuda:1")
        if options.precision not in ("auto", "fp32", "tf32", "bf16"):
            raise UsageError(f"--precision {options.precision[:60]}: not to be had; write auto, fp32, tf32 (on a GPU) or bf16")
        try:
            data_root, results = (folder.resolve() for folder in (options.data_root, options.results))
            bases = None if options.bases is None else options.bases.resolve()
        except (OSError, RuntimeError) as error:  # circular links are a RuntimeError before Python 3.13
            raise UsageError(f"--data-root, --results or --bases: must name a folder ({error})") from None
        taken = take_own_folder(options.methods_dir)
        how = (options.device, threads, not options.no_compile, options.precision)
        return cls(data_root, results, *how, taken, bases, options.record_sessions)


def threads_of(options: argparse.Namespace) -> int:
    """What --threads says. Raises UsageError for more than any machine has: each is started at once."""
    from benchmarks.system.errors import UsageError

    if not 1 <= options.threads <= MOST_THREADS:
        raise UsageError(f"--threads must be at least 1 and at most {MOST_THREADS:,}")
    return int(options.threads)


def a_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a whole number") from None


def a_folder(text: str) -> Path:
    """Parses an option that names a folder. Rejects an empty name (e.g. of an unset variable), which would be the current folder."""
    if not text.isprintable() or not text:
        from protocols.reading import odd_space

        odd = odd_space(text)
        raise argparse.ArgumentTypeError(f"must name a folder{odd and f' ({odd})'}")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ without a home folder, or ~somebody who does not exist
        raise argparse.ArgumentTypeError(f"{text[:60]}: there is no such home folder") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that every command of the suite has."""
    add, data_root = parser.add_argument, os.environ.get("FSCIL_DATA") or "data"
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    add("--threads", type=a_number, default=1, help="threads a run; part of what makes it repeatable bit by bit (default: 1)")
    add("--no-compile", action="store_true", help="do not compile long trainings, even where a compiler is found")
    add("--record-sessions", action="store_true", help="on a GPU, record steps of sessions, too (docs/PERFORMANCE.md: not trusted yet)")
    said = "precision to use where the recipe says auto: auto (bf16 where it is fast), fp32, bf16, or tf32 on a GPU (default: auto)"
    add("--precision", default="auto", help=said)
    add("--data-root", type=a_folder, default=data_root, help="default: $FSCIL_DATA, or data")
    add("--results", type=a_folder, default=Path("results"), help="default: results")
    add("--bases", type=a_folder, help="folder of base models and stored outputs, which may be large (default: .base in the results)")
    add("--methods-dir", type=a_folder, help="folder of your own methods, beside the suite's (default: methods, if it holds any)")
