"""Feature drift: the angle between features of base test images now and after session 0 (LEC-Net's Figure 7; docs/methods.md section 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.running.probes.probe import Probe


class Drift(Probe):
    """Mean angle in degrees between the features of a base test image after session 0 and after session t, one value per session.

    `final` is the input of the base head, `backbone` the output of the backbone. The paper states neither layer nor images, and
    writes the inner product of features without normalising them; an angle needs normalisation.
    """

    name = "drift"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first: dict[str, Tensor] = {}
        self.degrees: dict[str, list[float]] = {"final": [], "backbone": []}

    def after_test(self, session: int) -> None:
        strategy = self.contender.strategy
        features = self.contender.test_features(0)
        now = {"final": strategy.represent(features)[0], "backbone": features}
        for layer, values in now.items():
            first = self.first.setdefault(layer, values.clone())
            self.degrees[layer].append(angle(first, values))

    def numbers(self) -> dict[str, Any]:
        return {layer: [round(value, 4) for value in values] for layer, values in self.degrees.items()}


def angle(first: Tensor, second: Tensor) -> float:
    """Mean angle in degrees between corresponding rows of two tensors [N, d].

    Uses Kahan's formula, 2 atan2(|u - v|, |u + v|), because near zero an arccosine in float32 returns .03 degrees or 0.
    """
    u, v = F.normalize(first.double(), dim=1), F.normalize(second.double(), dim=1)
    radians = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    return float(torch.rad2deg(radians).mean())
