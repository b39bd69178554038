"""One optimisation step, the same for the base session and for the sessions after it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def train_step(
    loss_of: Callable[[], Tensor], optimizer: torch.optim.Optimizer, before_update: Callable[[], None], after_update: Callable[[], None]
) -> Tensor:
    """Computes the loss and its gradients, and updates the parameters. Returns the loss, detached.

    `before_update` may change gradients; `after_update` may change parameters.
    """
    loss = loss_of()
    optimizer.zero_grad()
    loss.backward()
    before_update()
    optimizer.step()
    after_update()
    return loss.detach()
