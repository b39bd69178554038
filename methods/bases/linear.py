"""The default base model, which most methods share: the backbone and its own head."""

from methods.contract import BaseKind


class Linear(BaseKind):
    """Adds nothing."""
