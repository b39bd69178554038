"""A careless guest: draws from every global generator there is, and seeds those that cannot be watched, or torch's as well."""

from __future__ import annotations

import random

import numpy as np
import torch

from methods.contract import SessionStrategy, TrainConfig


class Noisy(SessionStrategy):
    """Whatever it does to generators that all share must reach nobody else."""

    title = "Noisy"

    class Config(TrainConfig):
        epochs: int = 2
        seeds_torch: bool = False

    presets = {"default": {}, "torch": {"seeds_torch": True}}

    def before_epoch(self, epoch: int) -> None:
        random.seed(1)
        np.random.seed(2)
        if self.config.seeds_torch:
            torch.manual_seed(3)
        torch.randn(1000), np.random.rand(1000), random.random()
