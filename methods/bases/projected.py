"""Base model of LEC-Net's released code: a bias-free square layer F1 between backbone and head (docs/methods.md 5.1)."""

from __future__ import annotations

from torch import nn

from methods.contract import BaseKind
from methods.parts.network import Network
from protocols.schema import Sessions


class Projected(BaseKind):
    """The neck F1 is trained in the base session. It maps features [N, d] to [N, d]."""

    def build(self, network: Network, sessions: Sessions) -> None:
        network.neck = nn.Linear(network.feature_dim, network.feature_dim, bias=False)
