"""Path integral and importance of synaptic intelligence (Zenke et al., ICML 2017, Eq. 3-5; docs/methods.md 6.10).

Re-implemented, because Avalanche's version never accumulates anything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def regrown(flat: Tensor, sizes: list[int], parameters: list[nn.Parameter]) -> Tensor:
    """Returns `flat`, a vector over parameters of old `sizes`, resized to the current parameters; new entries, at each end, are 0."""
    parts = [F.pad(part, (0, p.numel() - len(part))) for part, p in zip(flat.split(sizes), parameters, strict=True)]
    return torch.cat(parts)


class PathIntegral(nn.Module):
    """How much the change of each parameter in the current task has lowered the task's loss.

    `omega` is the sum over steps of gradient of the task's loss times (value before - value after the step); `start` holds
    the values at the start of the task. Both are flat vectors over `parameters`, in order.
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
        return torch.cat([p.detach().reshape(-1) for p in parameters])  # torch.cat copies, so this is never a view of the weights

    def note_gradient(self, parameters: list[nn.Parameter]) -> None:
        """Call it after the backward pass of the task's own loss, before anything is added to the gradient."""
        self.gradient = torch.cat([torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in parameters])
        self.before = self.values(parameters)

    def note_step(self, parameters: list[nn.Parameter]) -> None:
        """Call it after the optimiser's step."""
        self.omega += self.gradient * (self.before - self.values(parameters))

    def importance(self, parameters: list[nn.Parameter], damping: float) -> Tensor:
        """Eq. 5: max(omega, 0) / (displacement² + damping), with each parameter's displacement over the whole task."""
        return F.relu(self.omega) / ((self.values(parameters) - self.start) ** 2 + damping)
