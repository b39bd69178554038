"""Base model of SI: base training also records the path integral of every parameter (Zenke et al., ICML 2017, equation 3)."""

from __future__ import annotations

from methods.contract import BaseKind
from methods.parts.network import Network
from methods.parts.path_integral import PathIntegral


class Path(BaseKind):
    """`network.parts["path"]` covers all parameters, including the weights of the base classes."""

    added = ("path",)

    def after_growth(self, network: Network) -> None:
        network.parts["path"] = PathIntegral(list(network.parameters()))

    def before_update(self, network: Network) -> None:
        path_of(network).note_gradient(list(network.parameters()))

    def after_update(self, network: Network) -> None:
        path_of(network).note_step(list(network.parameters()))


def path_of(network: Network) -> PathIntegral:
    """The path integral that this kind has added to a network."""
    path = network.parts["path"]
    assert isinstance(path, PathIntegral)
    return path
