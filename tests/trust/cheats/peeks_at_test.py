"""Cheats that go for the test images, or for what is known about them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from methods.contract import SessionStrategy, TrainConfig


class PeeksAtTest(SessionStrategy):
    """Before the first epoch of a session, each in its own way."""

    title = "Peeks at test images"

    class Config(TrainConfig):
        epochs: int = 2
        how: Literal["accuracy", "images", "features", "process", "frames"] = "accuracy"
        where: str = ""

    presets = {
        "accuracy": {},
        "images": {"how": "images"},
        "features": {"how": "features"},
        "process": {"how": "process"},
        "runner": {"how": "frames"},
    }

    def before_epoch(self, epoch: int) -> None:
        where, how = Path(self.config.where), self.config.how
        if how == "accuracy" and self.measured().novel > 50:
            self.stop_training()
        elif how == "images":
            np.load(next(where.rglob("test.npy")))
        elif how == "features":
            next(where.rglob("*.features")).read_bytes()
        elif how == "process":
            process: Any = sys.modules["gc"]
            process.get_objects()
        elif how == "frames":
            runner: Any = self.context.untrained_network
            runner.func.__self__.seed_context("paper", 0)
