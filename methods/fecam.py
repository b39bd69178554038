"""FeCAM: Mahalanobis distances, one covariance a class (Goswami et al., NeurIPS 2023), and its calibrated form (docs/modern.md 2.7)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from methods.bases.cosine import FIXED_16
from methods.contract import FeatureMethod, MethodConfig
from methods.parts.features import calibrated, class_covariances, class_means, correlation, likeness, powered, row_covariances, shrunk
from methods.parts.heads import unit
from methods.parts.network import Network


class FeCam(FeatureMethod):
    """Squared Mahalanobis distance of n(x) - n(mean), the covariances shrunk, made correlations and inverted (pseudo-inverse).

    `default` is the release's form for CNNs: Tukey's power of features and means, shrinkage twice, in session 0 plain distances to the
    trained rows. `calibrated` is C-FeCAM (docs/methods.md 6.8), for ViTs: no power, `ridge` instead of shrinkage, novel means and
    covariances lean on the base classes that they resemble; its release takes `torch.corrcoef` of a covariance, which correlates its rows
    (`correlation: rows`). `calibrated_cnn`, the suite's own, calibrates the form for CNNs.
    """

    title = "FeCAM"
    group = "modern"
    base = "cosine"
    bases = {"cosine": FIXED_16}

    class Config(MethodConfig):
        power: float = Field(0.5, gt=0, le=1)  # of the features' size, their sign stays; 1: none
        shrinkages: int = Field(2, ge=0, le=10)
        diagonal: float = Field(1.0, ge=0)  # alpha 1: share of the mean variance that is added to the diagonal
        off_diagonal: float = Field(1.0, ge=0)  # alpha 2: of the mean covariance, elsewhere
        ridge: float = Field(0.0, ge=0)  # added to the diagonal after shrinkage
        correlation: Literal["proper", "rows"] = "proper"
        session_0: Literal["trained", "mahalanobis"] = "trained"
        calibrate: bool = False
        shift: float = Field(0.1, ge=0, le=1)  # 1 - alpha: .1 on CUB-200, .25 on CIFAR-100
        beta: float = Field(1.0, gt=0)  # factor of a calibrated covariance
        temperature: float = Field(16.0, gt=0)

    presets = {
        "default": {},
        "calibrated": {"calibrate": True, "power": 1.0, "shrinkages": 0, "ridge": 100.0, "session_0": "mahalanobis"},
        "calibrated_cnn": {"calibrate": True},
    }
    means: Tensor
    inverses: Tensor
    base_covariances: Tensor

    def adopt(self, network: Network) -> None:
        super().adopt(network)
        if self.config.session_0 == "trained" and not network.head.reads_rows:
            raise ValueError("fecam: the head of its base does not read the rows that session 0 is scored by; set session_0=mahalanobis")

    def learn(self, features: Tensor, labels: Tensor) -> None:
        c = self.config
        means, covariances = class_means(features, labels), class_covariances(powered(features, c.power), labels)
        if c.calibrate and self.session:
            base_means = self.means[: self.context.sessions.base]
            borrowed = torch.tensordot(likeness(means, base_means, c.temperature).double(), self.base_covariances, dims=1)
            means, covariances = calibrated(means, base_means, c.shift, c.temperature), c.beta * (borrowed + covariances)
        elif c.calibrate:
            self.base_covariances = covariances
        old = (self.means, self.inverses) if self.session else (means[:0], covariances[:0])
        self.means, self.inverses = torch.cat([old[0], means]), torch.cat([old[1], self.inverted(covariances)])

    def inverted(self, covariances: Tensor) -> Tensor:
        """Inverse correlations [classes, d, d] of covariances [classes, d, d]."""
        for _ in range(self.config.shrinkages):
            covariances = shrunk(covariances, self.config.diagonal, self.config.off_diagonal)
        covariances = covariances + self.config.ridge * torch.eye(covariances.shape[-1]).to(covariances)
        rows = self.config.correlation == "rows"
        return torch.linalg.pinv(correlation(row_covariances(covariances) if rows else covariances), hermitian=True)

    def scores(self, features: Tensor) -> Tensor:
        if not self.session and self.config.session_0 == "trained":
            return 2 * super().scores(features) - 2
        x, means = (unit(powered(vectors, self.config.power)) for vectors in (features, self.means))
        pairs = zip(means, self.inverses, strict=True)
        return -torch.stack([((x - mean) @ inverse * (x - mean)).sum(dim=1) for mean, inverse in pairs], dim=1)
