"""An honest guest that uses `functools.cache` for functions of their arguments, and changes things only for a while."""

from __future__ import annotations

import functools
import logging
import random

import numpy as np
import torch
from torch import Tensor

from methods.contract import SessionStrategy, TrainConfig

LOGGER = logging.getLogger(__name__)
COLOURS = {"old": 0, "new": 1}


@functools.cache
def identity(classes: int) -> Tensor:
    return torch.eye(classes)


class Caches(SessionStrategy):
    """Each of its habits is fine."""

    title = "Caches"

    class Config(TrainConfig):
        epochs: int = 1

    @staticmethod
    @functools.lru_cache(maxsize=4)
    def weights(classes: int) -> tuple[float, ...]:
        return (1.0,) * classes

    def before_epoch(self, epoch: int) -> None:
        LOGGER.info("epoch %s", epoch)
        np.random.shuffle(list(COLOURS))
        random.shuffle(list(COLOURS))
        with torch.random.fork_rng(), np.errstate(all="raise"), torch.autograd.set_detect_anomaly(False):
            torch.manual_seed(epoch)

    def scores(self, features: Tensor) -> Tensor:
        """The cache is filled while test images are predicted."""
        scores = self.model.classify(features)
        return scores @ identity(scores.shape[1]) * torch.tensor(self.weights(scores.shape[1]))
