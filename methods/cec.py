"""CEC: prototypes and the query attend to each other before they are compared (Zhang et al., CVPR 2021; docs/methods.md 6.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from methods.contract import FeatureMethod
from methods.parts.attention import attended_cosines

TOKENS = 20_000  # tokens that attend to each other at once


class Cec(FeatureMethod):
    """Rows are class means. A query is judged alone: self-attention over all rows and this query, then cosine. Since rows attend to each
    other, scores of old classes change with every session. Attention and encoder are those of base kind `episodes`."""

    title = "CEC"
    group = "modern"
    base = "episodes"

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if "attention" not in network.parts:
            raise ValueError("cec: its base must have attention, as base kind episodes has")

    def scores(self, features: Tensor) -> Tensor:
        parts = features.split(max(1, TOKENS // (1 + len(self.rows))))
        return torch.cat([attended_cosines(self.model.parts["attention"], self.rows, part) for part in parts])
