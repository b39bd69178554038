"""The base model that methods share: backbone, and the head that goes with it."""

from methods.contract import BaseKind


class Linear(BaseKind):
    """Adds nothing."""
