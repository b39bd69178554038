"""GKEAL: ridge regression on Gaussian kernels around base features (Zhuang et al., CVPR 2023; docs/modern.md 2.7)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from methods.bases.cosine import FIXED_16
from methods.families.ridge import Ridge, RidgeConfig


class Gkeal(Ridge):
    """h(x) = exp(-|x - c|^2 / (2 sigma^2)) for centres c, base features drawn once; their number is at most that of the base images.

    This is the official code, which calls itself simplified: the paper also repeats the shots under augmentation, to balance old and new
    classes; its text could not be read here, so that part is left out. `balanced` is the suite's own: each class weighs the same.
    """

    title = "GKEAL"
    group = "modern"
    base = "cosine"
    bases = {"cosine": FIXED_16}
    needs = "lengths"  # sigma is in units of the features

    class Config(RidgeConfig):
        ridge: float | None = Field(0.1, gt=0)  # gamma
        centres: int = Field(8192, ge=1, le=100_000)
        sigma: float = Field(10.0, gt=0)

    presets = {"default": {}, "balanced": {"per_class": True}}

    def learn(self, features: Tensor, labels: Tensor) -> None:
        if not self.session:
            self.centres = features[torch.randperm(len(features))[: self.config.centres].to(features.device)]
        super().learn(features, labels)

    def hidden(self, features: Tensor) -> Tensor:
        return torch.exp(torch.cdist(features.double(), self.centres.double()).square() / (-2 * self.config.sigma**2))
