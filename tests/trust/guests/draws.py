"""An honest guest that seeds nothing: it draws from all global generators, wherever it is called."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from methods.contract import SessionStrategy, TrainConfig


class Draws(SessionStrategy):
    """Class weights drawn when it is made and after each session."""

    title = "Draws"

    class Config(TrainConfig):
        epochs: int = 1

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        self.log = {"first": self.draw()}

    def draw(self) -> float:
        return random.random() + float(np.random.rand()) + float(torch.rand(()))

    def after_session(self) -> None:
        self.log |= {"later": self.draw()}
        self.model.head.weight.data[0] *= self.draw()

    def session_log(self) -> dict[str, float]:
        return {**self.log, "told": self.draw()}
