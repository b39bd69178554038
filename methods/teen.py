"""TEEN: novel prototypes drawn towards the base prototypes that they resemble (Wang et al., NeurIPS 2023; docs/methods.md 6.4)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from methods.bases.cosine import FIXED_16
from methods.contract import FeatureMethod, MethodConfig
from methods.parts.features import calibrated, class_means


class Teen(FeatureMethod):
    """Nothing is trained after the base session. Equation 4 with the weights of equation 5; base rows are class means."""

    title = "TEEN"
    group = "modern"
    base = "cosine"
    bases = {"cosine": FIXED_16}

    class Config(MethodConfig):
        shift: float = Field(0.1, ge=0, le=1)  # 1 - alpha: .1 on CIFAR-100, .5 on CUB-200 and miniImageNet
        temperature: float = Field(16.0, gt=0)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        means = class_means(features, labels)
        self.add_rows(calibrated(means, self.base_rows, self.config.shift, self.config.temperature) if self.session else means)
