"""The optimisers of base session and methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from protocols.training import Training


def optimizer_for(
    groups: Iterable[dict[str, Any]], settings: Training, lr: float, device: torch.device, rate: str = "lr"
) -> torch.optim.Optimizer:
    """torch's SGD or Adam, as the settings say, with learning rate `lr`. A group has `params`, and may have a `weight_decay` of its own,
    and in `rate` a learning rate of its own: "lr", or "rate", a factor, in a base session. Raises ValueError for any other key.

    Fused (one kernel for all parameters) on a GPU. On a CPU the fused step of SGD is four times as fast as the plain one (1 ms per
    step of ResNet-20), but it rounds the last elements of odd sizes differently, which would change the bits of all existing records.
    """
    groups = [{"weight_decay": settings.weight_decay, **group} for group in groups]
    if unused := {key for group in groups for key in group} - {"params", "weight_decay", rate}:  # torch would keep it
        raise ValueError(f"a group of parameters has params, weight_decay and {rate}, but no {min(unused)!r}")
    fused = True if device.type == "cuda" else None
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=lr, fused=fused)
    return torch.optim.SGD(groups, lr=lr, momentum=settings.momentum, dampening=settings.dampening, nesterov=settings.nesterov, fused=fused)


def set_lr(group: dict[str, Any], lr: float) -> None:
    """Set the learning rate of an optimiser's group; where it is a tensor, in place, so that recorded steps find it."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put the learning rates into tensors (float32) on the device, and let Adam's steps be recorded (methods/parts/capture.py)."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float32, device=device)
        if "capturable" in group and device.type == "cuda":
            group["capturable"] = True
            optimizer._warned_capturable_if_run_uncaptured = True  # the first step is, on purpose


def state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The tensors that the optimiser keeps about its parameters, such as momentum."""
    return [value for of_parameter in optimizer.state.values() for value in of_parameter.values() if isinstance(value, Tensor)]
