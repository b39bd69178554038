"""Base model of LUCIR: a cosine head with a learned scale (Hou et al., CVPR 2019, section 3.1; docs/methods.md 4.5)."""

from __future__ import annotations

from methods.contract import BaseKind
from methods.parts.heads import CosineHead
from methods.parts.network import Network


class Cosine(BaseKind):
    """The scale starts at 1 and is trained in the base session."""

    def build(self, network: Network) -> None:
        network.head = CosineHead(network.feature_dim)
