"""The SGD optimiser of base session and methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def sgd(parameters: Iterable[Any], device: torch.device, **settings: Any) -> torch.optim.SGD:
    """torch's SGD; fused (one kernel for all parameters) on a GPU.

    On a CPU the fused step is four times as fast as the plain one (1 ms per step of ResNet-20), but it rounds the last elements
    of odd sizes differently, which would change the bits of all existing records.
    """
    return torch.optim.SGD(parameters, fused=True if device.type == "cuda" else None, **settings)
