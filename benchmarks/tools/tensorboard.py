"""Curves of the finished runs for TensorBoard, by Avalanche's logger: `run_all.py --export tensorboard`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from benchmarks.metrics.catalogue import drawn
from benchmarks.system.errors import StorageError


def write_curves(frame: pd.DataFrame, labels: dict[str, str], folder: Path) -> Path:
    """Writes each drawn metric over sessions, a TensorBoard run for each variant and seed, into `folder`, in place of what was there.

    `frame` has columns variant, seed, session and the metrics, in percent; `labels` names the variants. Returns the folder. Raises
    StorageError; what was there then stays.
    """
    scratch = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with quiet_threads():
            write_runs(frame, labels, scratch)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise StorageError.of(folder, error) from None
    return folder


def write_runs(frame: pd.DataFrame, labels: dict[str, str], folder: Path) -> None:
    from avalanche.logging import TensorboardLogger

    for (variant, seed), run in frame.groupby(["variant", "seed"], sort=False):
        logger = TensorboardLogger(folder / f"{labels[str(variant)].replace('/', '_')} seed {seed}")
        for name in drawn():
            for session, value in run[["session", name]].dropna().itertuples(index=False):
                logger.log_single_metric(name, float(value), int(session))
        logger.writer.close()


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Keeps the logger's thread from printing a traceback of a disk error, which is raised here, too."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if isinstance(args.exc_value, OSError) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before
