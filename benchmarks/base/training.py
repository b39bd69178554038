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
from methods.parts.optimizer import sgd
from protocols.schema import BaseRecipe

START, END = 1 / 25, 1e-4 / 25  # onecycle: first and last learning rate as fractions of the highest

Report = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""


def learning_rate(recipe: BaseRecipe, step: int, steps: int) -> float:
    """Learning rate at batch `step` (from 0, over all epochs), with `steps` batches per epoch. Stateless, so training can resume."""
    if recipe.schedule == "onecycle":
        total = recipe.epochs * steps - 1
        peak = max(recipe.warmup * total, 1e-9)
        if step <= peak:
            return recipe.lr * (START + (1 - START) * step / peak)
        return recipe.lr * (1 + (END - 1) * (step - peak) / (total - peak))
    passed = sum(step >= milestone * steps for milestone in recipe.milestones) if recipe.schedule == "step" else 0
    return recipe.lr * recipe.gamma**passed


def train_base(
    network: Network, batches: Batches, recipe: BaseRecipe, device: torch.device, checkpoint: Checkpoint, report: Report
) -> None:
    """Train the network in place with cross-entropy over the base classes. Resumes from the checkpoint if there is one.

    Raises FloatingPointError if the loss is not finite.
    """
    to_fast_layout(network, device).train()
    settings = recipe.model_dump(include={"lr", "momentum", "nesterov", "weight_decay"})
    optimizer = sgd(network.parameters(), device, **settings)
    steps = len(batches)
    path, parameters = network.path, list(network.parameters())
    batches.epoch = checkpoint.resume(network, optimizer)
    for epoch in range(batches.epoch, recipe.epochs):
        total = torch.zeros((), device=device)
        for index, (x, y, _) in enumerate(batches):
            begin_step(device)
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, epoch * steps + index, steps)
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
