"""Training of session 0: once per (data, split, backbone, recipe, seed), then cached and used by every method."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks.base.cache import Checkpoint
from benchmarks.base.network import to_fast_layout
from benchmarks.data.batches import Batches
from methods.parts.network import Network, begin_step
from methods.parts.optimizer import optimizer_for
from methods.parts.schedules import learning_rate
from protocols.schema import BaseRecipe

Report = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""


def train_base(
    network: Network, batches: Batches, recipe: BaseRecipe, device: torch.device, checkpoint: Checkpoint, report: Report
) -> None:
    """Train the network in place with cross-entropy over the base classes. Resumes from the checkpoint if there is one.

    Raises FloatingPointError if the loss is not finite.
    """
    to_fast_layout(network, device).train()
    path, parameters = network.path, list(network.parameters())
    optimizer = optimizer_for([{"params": parameters, "weight_decay": recipe.weight_decay}], recipe, recipe.lr, device)
    steps = len(batches)
    batches.epoch = checkpoint.resume(network, optimizer)
    for epoch in range(batches.epoch, recipe.epochs):
        total = torch.zeros((), device=device)
        for index, (x, y, _) in enumerate(batches):
            begin_step(device)
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, epoch * steps + index, steps, recipe.gamma)
            loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            if path is not None:
                path.note_gradient(parameters)
            optimizer.step()
            if path is not None:
                path.note_step(parameters)
            total += loss.detach()
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"base training: the loss is {mean} in epoch {epoch + 1}; lower the recipe's lr")
        report(epoch + 1, mean)
        checkpoint.keep(network, optimizer, epoch + 1)
    network.eval()
