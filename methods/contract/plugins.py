"""Avalanche's plugins beside steps that a GPU records."""

from __future__ import annotations

from avalanche.core import SupervisedPlugin

WITHIN_A_STEP = ("before_forward", "after_forward", "before_backward", "after_backward", "before_update", "after_update")


def acts_within_a_step(plugin: object) -> bool:
    """Whether Avalanche calls a plugin between the beginning and the end of a training step, where a recording would not call it."""
    own = [getattr(type(plugin), name, None) for name in WITHIN_A_STEP]
    return any(call is not None and call is not getattr(SupervisedPlugin, call.__name__, None) for call in own)
