"""RanPAC: ridge regression on random features (McDonnell et al., NeurIPS 2023), and its calibrated form C-RanPAC (docs/modern.md 2.7)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.bases.cosine import FIXED_16
from methods.families.ridge import Ridge, RidgeConfig
from methods.parts.features import class_covariances, class_means, gaussian_samples


class RanPac(Ridge):
    """h(x) = relu(x W), W ~ N(0, 1) [d, width] drawn once. Nothing is trained after the base session; the release adapts a ViT in it first.

    The release chooses lambda anew in every session; five shots cannot, so it is held here, as FSCIL-Calibration's RanPAC does
    (`every_session` for the former). `calibrated` is C-RanPAC (Goswami et al., CVPR Workshops 2024; docs/methods.md 6.8): instead of its
    shots, a novel class has `samples` draws of a Gaussian whose mean and covariance lean on the base classes that it resembles by
    softmax(temperature * dot product of means), and prediction is by cosine. `balanced` is the suite's own: each class weighs the same.
    """

    title = "RanPAC"
    group = "modern"
    base = "cosine"
    bases = {"cosine": FIXED_16}

    class Config(RidgeConfig):
        width: int = Field(10_000, ge=1, le=100_000)  # M
        calibrate: bool = False
        samples: int = Field(800, ge=1)
        shift: float = Field(0.1, ge=0, le=1)  # 1 - alpha: .1 on CUB-200, .25 on CIFAR-100
        borrowed: float = Field(0.5, ge=0, le=1)  # share of the base classes in a novel covariance
        temperature: float = Field(16.0, gt=0)
        cosine: bool = False

    presets = {"default": {}, "calibrated": {"calibrate": True, "cosine": True, "lowest": 1}, "balanced": {"per_class": True}}

    def learn(self, features: Tensor, labels: Tensor) -> None:
        if not self.session:
            self.projection = torch.randn(features.shape[1], self.config.width).to(features.device)
        super().learn(*(self.drawn(features.double(), labels) if self.config.calibrate else (features, labels)))

    def drawn(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Samples of the calibrated Gaussians of novel classes, with labels; the features themselves in session 0."""
        c = self.config
        means, covariances = class_means(features, labels), class_covariances(features, labels)
        if not self.session:
            self.base_means, self.base_covariances = means, covariances
            return features, labels
        likeness = (c.temperature * means @ self.base_means.T).softmax(dim=1)
        means = (1 - c.shift) * means + c.shift * likeness @ self.base_means
        covariances = (1 - c.borrowed) * covariances + c.borrowed * torch.tensordot(likeness, self.base_covariances, dims=1)
        return gaussian_samples(means, covariances, c.samples), labels.unique().repeat_interleave(c.samples)

    def hidden(self, features: Tensor) -> Tensor:
        return (features.double() @ self.projection.double()).relu()

    def scores(self, features: Tensor) -> Tensor:
        if not self.config.cosine:
            return super().scores(features)
        return F.normalize(self.hidden(features), dim=1) @ F.normalize(self.solution, dim=0)
