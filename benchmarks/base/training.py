"""Training of session 0: once per (data, split, backbone, recipe, seed), then cached and used by every method."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.base.cache import Checkpoint
from benchmarks.base.network import to_fast_layout
from benchmarks.data.batches import Batches
from benchmarks.system.streams import torch_seed
from methods.contract import BaseKind, BaseStep
from methods.parts.network import Network, begin_step
from methods.parts.optimizer import optimizer_for
from methods.parts.schedules import learning_rate
from methods.parts.step import train_step
from protocols.schema import BaseRecipe

Report = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""


def train_base(
    network: Network,
    kind: BaseKind,
    batches: Batches,
    recipe: BaseRecipe,
    device: torch.device,
    checkpoint: Checkpoint,
    report: Report,
) -> None:
    """Train the network in place with the kind's loss over the base classes. Resumes from the checkpoint if there is one.

    Raises FloatingPointError if the loss is not finite, ValueError if the kind breaks its contract.
    """
    to_fast_layout(network, device).train()
    groups = [{"weight_decay": recipe.weight_decay, **group} for group in kind.groups(network)]
    optimizer = optimizer_for(groups, recipe, recipe.lr, device)
    steps = len(batches)
    batches.epoch = checkpoint.resume(network, optimizer)
    unchecked = True
    for epoch in range(batches.epoch, recipe.epochs):
        total = torch.zeros((), device=device)
        generator = torch.Generator().manual_seed(torch_seed(batches.seed, f"{kind.name}/epoch{epoch}"))
        for index, (*views, labels, _) in enumerate(batches):
            begin_step(device)
            set_rate(optimizer, learning_rate(recipe, epoch * steps + index, steps, recipe.gamma))
            step = BaseStep(epoch, recipe.epochs, (epoch * steps + index) / (recipe.epochs * steps), generator)
            loss_of = partial(loss_of_batch, network, kind, views, labels, step)
            if unchecked:
                loss_of, unchecked = partial(checked_loss, kind, loss_of), False
            total += train_step(loss_of, optimizer, partial(kind.before_update, network), partial(kind.after_update, network))
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"base training: the loss is {mean} in epoch {epoch + 1}; lower the recipe's lr")
        report(epoch + 1, mean)
        checkpoint.keep(network, optimizer, epoch + 1)
    network.eval()


def loss_of_batch(network: Network, kind: BaseKind, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
    views, labels = kind.expand(views, labels)
    if any(len(view) != len(labels) for view in views):
        raise ValueError(f"base kind {kind.name}: expand must return as many labels ({len(labels)}) as images ({[len(v) for v in views]})")
    return kind.loss(network, views, labels, step)


def checked_loss(kind: BaseKind, loss_of: Callable[[], Tensor]) -> Tensor:
    """The first step's loss. Raises ValueError unless it is one finite number with a gradient."""
    loss = loss_of()
    if not isinstance(loss, Tensor) or loss.dim() or not loss.requires_grad:
        what = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"base kind {kind.name}: loss must return one number with a gradient, and returned {what}")
    if not math.isfinite(value := float(loss.detach())):
        raise ValueError(f"base kind {kind.name}: the loss of the first batch is {value}")
    return loss


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; groups with a `rate` get it times that factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate", 1.0)
