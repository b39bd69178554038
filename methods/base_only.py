"""BaseOnly: trains nothing after the base session; the control that every table needs (docs/methods.md 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.cosine import FIXED_16
from methods.contract import MethodConfig, SessionStrategy


class BaseOnly(SessionStrategy):
    """Never predicts a novel class. Its accuracy falls as A_0 * |base| / |seen|, which beats TOPIC and LEC-Net as published."""

    title = "BaseOnly"
    Config = MethodConfig
    bases = {"cosine": FIXED_16}

    def model_adaptation(self, model: nn.Module | None = None) -> nn.Module:
        return self.model  # the head does not grow

    def scores(self, features: Tensor) -> Tensor:
        base = self.model.classify(features)
        return F.pad(base, (0, self.classes_seen - base.shape[1]), value=-torch.inf)
