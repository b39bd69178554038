"""Cheats that seed generators: what they draw is the same under every seed, so that rows spread less than they should."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.contract import FeatureMethod, MethodConfig


class Seeds(FeatureMethod):
    """Class means with noise; `how` says which generator is seeded before it is drawn."""

    title = "Seeds generators"

    class Config(MethodConfig):
        how: str = "torch"

    presets = {"torch": {}, "forked": {"how": "forked"}}

    def learn(self, features: Tensor, labels: Tensor) -> None:
        super().learn(features, labels)
        if self.config.how == "torch":
            torch.manual_seed(0)
        else:  # puts back what it found: a draw of its own, which changes no other
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.session)
                torch.randn(3)
        self.model.head.weight.data += 0.01 * torch.randn(self.model.head.weight.shape).to(features)
