"""Ft-CNN: fine-tune the whole network on each session's shots (Tao et al., CVPR 2020, section 4.2; docs/methods.md 4.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from methods.contract import SessionStrategy, TrainConfig


class FtCnn(SessionStrategy):
    """The lower bound: cross-entropy on the shots over all seen classes; no memory, nothing frozen, batch norm in training mode.

    How far it collapses depends on the learning rate, so there are two presets: TOPIC's rate and, as `slow`, a tenth of it.
    TOPIC's schedules per data set are in the protocols' recipes. TOPIC chose the epoch on the test set; here it is the last.
    """

    title = "Ft-CNN"
    capturable = True

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        new_row_std: float | None = Field(0.001, ge=0)

    presets = {"topic": {}, "slow": {"lr": 0.01}}
