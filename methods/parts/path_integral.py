"""Synaptic intelligence's bookkeeping (Zenke et al., ICML 2017, Eq. 3-5; methods.md 6.10). Written anew: Avalanche's never counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def regrown(flat: Tensor, sizes: list[int], parameters: list[nn.Parameter]) -> Tensor:
    """`flat` over parameters of old `sizes`, over the parameters as they are now: heads grow at their end, by zeros here."""
    parts = [F.pad(part, (0, p.numel() - len(part))) for part, p in zip(flat.split(sizes), parameters, strict=True)]
    return torch.cat(parts)


class PathIntegral(nn.Module):
    """How much each parameter's way through the current task lowered its loss, and where it stood before.

    `omega` adds up gradient of the task's loss times (value before - value after) over the steps; `start` are the values at
    the task's start. Both are flat vectors over `parameters`, in order.
    """

    omega: Tensor
    start: Tensor

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        values = self.values(parameters)
        self.register_buffer("omega", torch.zeros_like(values))
        self.register_buffer("start", values)
        self.before, self.gradient = values, torch.zeros_like(values)

    @staticmethod
    def values(parameters: list[nn.Parameter]) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in parameters])  # torch.cat copies: never a view of live weights

    def note_gradient(self, parameters: list[nn.Parameter]) -> None:
        """After the backward pass of the task's own loss, before anything is added to its gradient."""
        self.gradient = torch.cat([torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in parameters])
        self.before = self.values(parameters)

    def note_step(self, parameters: list[nn.Parameter]) -> None:
        """After the optimiser's step."""
        self.omega += self.gradient * (self.before - self.values(parameters))

    def importance(self, parameters: list[nn.Parameter], damping: float) -> Tensor:
        """Eq. 5: omega / ((way of the whole task)² + damping); never negative."""
        return F.relu(self.omega) / ((self.values(parameters) - self.start) ** 2 + damping)
