"""Ft-CNN: fine-tune the whole network on each session's shots (Tao et al., CVPR 2020, section 4.2; methods.md 4.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from methods.contract import SessionStrategy, TrainConfig


class FtCnn(SessionStrategy):
    """The lower bound: cross-entropy on the shots over all seen classes; no memory, nothing frozen, batch norm training.

    How far it collapses hangs on the rate, so there are two: TOPIC's and, as `slow`, a tenth of it. TOPIC's schedules per
    data set stand in the protocols' recipes. Its epoch was chosen on the test set; here it is the last.
    """

    title = "Ft-CNN"

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        new_row_std: float | None = Field(0.001, ge=0)

    presets = {"topic": {}, "slow": {"lr": 0.01}}
