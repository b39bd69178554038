"""LEC-Net's release: a bias-free square layer F1 between backbone and head (docs/methods.md 5.1)."""

from __future__ import annotations

from torch import nn

from methods.contract import BaseKind
from methods.parts.network import Network


class Projected(BaseKind):
    """F1 trains with the base; features [N, d] stay d wide."""

    def build(self, network: Network) -> None:
        network.projection = nn.Linear(network.feature_dim, network.feature_dim, bias=False)
