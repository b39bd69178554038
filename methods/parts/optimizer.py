"""SGD as base session and methods use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def sgd(parameters: Iterable[Any], device: torch.device, **settings: Any) -> torch.optim.SGD:
    """torch's SGD; on a GPU all parameters are stepped in one kernel.

    On a CPU the fused step is four times as fast as the plain one, 1 ms a step of ResNet-20, but rounds the last elements of odd
    sizes otherwise, and would change the bits of every record so far.
    """
    return torch.optim.SGD(parameters, fused=True if device.type == "cuda" else None, **settings)
