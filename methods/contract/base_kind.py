"""The interface of a base kind. Each file of methods/bases/ holds one class that derives from `BaseKind`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from methods.parts.network import Network


class BaseKind:
    """What the base session trains in addition to the backbone. Default: only the backbone's own head.

    Methods that name the same kind start from the same base model. The kind's name and version are part of the base model's key.
    """

    version: ClassVar[int] = 1
    """Increase it when a change of the kind changes results. Base models and records of older versions are then computed again."""

    def build(self, network: Network) -> None:
        """Change the new network before its head gets the base classes, for example replace the head or add a projection."""

    def after_growth(self, network: Network) -> None:
        """Called once the head has the weights of the base classes, before training. Add here what needs all parameters."""
