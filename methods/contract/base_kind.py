"""The contract of a base kind: one file of methods/bases/, one class, deriving from `BaseKind`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from methods.parts.network import Network


class BaseKind:
    """What the base session trains beside the backbone. By default nothing: the head that goes with the backbone.

    Methods that name the same kind start from the same base model; its name and version are part of the base model's key.
    """

    version: ClassVar[int] = 1
    """Raise it when a change of the kind changes numbers: base models and records of older versions are then made again."""

    def build(self, network: Network) -> None:
        """Change the fresh network before its head gets the base classes: put another head or a projection into it."""

    def after_growth(self, network: Network) -> None:
        """The head has the class weights of the base classes, and nothing is trained yet: add what must know all parameters."""
