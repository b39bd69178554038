"""Joint-CNN: train on everything seen so far (Tao et al., CVPR 2020, section 4.2; methods.md 4.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from methods.strategy import SessionStrategy, TrainConfig


class JointCnn(SessionStrategy):
    """The nominal upper bound, as TOPIC ran it: warm start, all base images and all shots, no balancing.

    With 500 base images against 5 shots a class it hardly ever predicts a new class, so its curve is BaseOnly's
    (methods.md 2.1). It keeps every image, and says so.
    """

    title = "Joint-CNN"
    memory_budget = None

    class Config(TrainConfig):
        batch: int | None = 128
        batch_norm: Literal["eval", "train"] = "train"
        new_row_std: float | None = 0.001

    presets = {"topic": {}}

    def session_rows(self) -> Tensor:
        return torch.cat([self.kit.memory.rows, self.own_rows])

    def after_session(self) -> None:
        self.kit.memory.keep(self.own_rows)
