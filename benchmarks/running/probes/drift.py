"""How far the features of base test images have turned since the base session (LEC-Net's Figure 7; methods.md section 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.running.probes.probe import Probe


class Drift(Probe):
    """Mean angle in degrees between the feature of a base test image after session 0 and after session t, a value a session.

    `final`: what the base head reads; `backbone`: what the backbone gives. The paper names neither layer nor images, and writes the
    inner product without bringing features to length one; an angle needs that.
    """

    name = "drift"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first: dict[str, Tensor] = {}
        self.degrees: dict[str, list[float]] = {"final": [], "backbone": []}

    def after_test(self, session: int) -> None:
        strategy = self.contender.strategy
        features = self.contender.seed_context.evaluator.features(strategy, 0)
        now = {"final": strategy.represent(features)[0], "backbone": features}
        for layer, values in now.items():
            first = self.first.setdefault(layer, values.clone())
            self.degrees[layer].append(angle(first, values))

    def numbers(self) -> dict[str, Any]:
        return {layer: [round(value, 4) for value in values] for layer, values in self.degrees.items()}


def angle(first: Tensor, second: Tensor) -> float:
    """Mean over rows of the angle between two [N, d], in degrees.

    By both sine and cosine halves (Kahan's formula): near zero an arccosine in float32 would answer .03 degrees or nothing.
    """
    u, v = F.normalize(first.double(), dim=1), F.normalize(second.double(), dim=1)
    radians = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    return float(torch.rad2deg(radians).mean())
