"""Base model of SI: base training also records the path integral of every parameter (Zenke et al., ICML 2017, equation 3)."""

from __future__ import annotations

from methods.contract import BaseKind
from methods.parts.network import Network
from methods.parts.path_integral import PathIntegral


class Path(BaseKind):
    """`network.path` covers all parameters, including the weights of the base classes."""

    def after_growth(self, network: Network) -> None:
        network.path = PathIntegral(list(network.parameters()))
