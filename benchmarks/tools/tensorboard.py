"""Curves of the finished runs for TensorBoard, by Avalanche's logger: `run_all.py --export tensorboard`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from benchmarks.metrics.catalogue import drawn


def write_curves(frame: pd.DataFrame, labels: dict[str, str], folder: Path) -> Path:
    """Writes each drawn metric over sessions, a TensorBoard run for each variant and seed, into `folder`, in place of what was there.

    `frame` has columns variant, seed, session and the metrics, in percent; `labels` names the variants. Returns the folder.
    """
    from avalanche.logging import TensorboardLogger

    shutil.rmtree(folder, ignore_errors=True)
    for (variant, seed), run in frame.groupby(["variant", "seed"], sort=False):
        logger = TensorboardLogger(folder / f"{labels[str(variant)].replace('/', '_')} seed {seed}")
        for name in drawn():
            for session, value in run[["session", name]].dropna().itertuples(index=False):
                logger.log_single_metric(name, float(value), int(session))
        logger.writer.close()
    return folder
