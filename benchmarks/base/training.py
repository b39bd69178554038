"""Training of session 0: once per (data, split, backbone, recipe, seed), then cached and used by every method.

Several seeds train together, step by step. On a GPU a step of all of them is one recording (methods/parts/capture.py); what a seed computes
does not depend on who trains beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.base.cache import Checkpoint
from benchmarks.base.network import to_fast_layout
from benchmarks.base.outputs import given_by, part_of
from benchmarks.data.batches import Batches
from benchmarks.system.streams import seed_all, stream, torch_seed
from methods.contract import BaseKind, BaseStep
from methods.contract.base_kind import RecordedStep
from methods.parts.capture import Branch, CaptureError, Eager, Steps
from methods.parts.network import Network, begin_step, freeze_all_but
from methods.parts.optimizer import make_capturable, optimizer_for, set_lr, state_tensors
from methods.parts.schedules import learning_rate
from methods.parts.step import train_step
from protocols.messages import first_line
from protocols.schema import BaseRecipe

Report = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss."""


@dataclass(frozen=True)
class BaseTraining:
    """The base training of one seed: the network is trained in place with the kind's loss over the base classes."""

    network: Network
    kind: BaseKind
    batches: Batches
    recipe: BaseRecipe
    checkpoint: Checkpoint
    report: Report


def train_base(
    network: Network,
    kind: BaseKind,
    batches: Batches,
    recipe: BaseRecipe,
    device: torch.device,
    checkpoint: Checkpoint,
    report: Report,
    steps: Steps | None = None,
) -> None:
    """Trains one seed. Resumes from the checkpoint if there is one.

    Raises FloatingPointError if the loss is not finite, ValueError if the kind breaks its contract.
    """
    [error] = train_together([BaseTraining(network, kind, batches, recipe, checkpoint, report)], device, steps)
    if error is not None:
        raise error


def train_together(trainings: Sequence[BaseTraining], device: torch.device, steps: Steps | None = None) -> list[FloatingPointError | None]:
    """Trains several seeds, of one kind, one recipe and equally many images; `steps` (default: eager) does their steps.

    A seed whose loss is not finite leaves, and the others go on; its error is returned in its place. Seeds that resume from different
    epochs wait for the last one. Raises ValueError if the kind breaks its contract.
    """
    steps = Eager() if steps is None else steps
    seeds = [SeedTraining(training, device, captured=not isinstance(steps, Eager)) for training in trainings]
    while left := [seed for seed in seeds if not seed.over]:
        epoch = min(seed.epoch for seed in left)
        one_epoch([seed for seed in left if seed.epoch == epoch], steps, device)
    for training in trainings:
        training.network.eval()
        training.network.given = "images"
    return [seed.error for seed in seeds]


class SeedTraining:
    """The training of one seed while it lasts: its optimiser, its epoch and the sum of the epoch's losses."""

    def __init__(self, training: BaseTraining, device: torch.device, captured: bool) -> None:
        self.training, self.device = training, device
        network, kind, recipe = training.network, training.kind, training.recipe
        to_fast_layout(network, device).train()
        freeze_all_but(network, recipe.trains)
        if recipe.trains != "all":
            training.batches.frozen_part = part_of(network, recipe.trains)
            network.given = given_by(recipe.trains)
        self.optimizer = optimizer_for(kind.groups(network), recipe, recipe.lr, device, rate="rate")
        self.epoch = training.batches.epoch = training.checkpoint.resume(network, self.optimizer)
        if captured:
            make_capturable(self.optimizer, device)
        self.branch = Branch(self.step, self.state)
        self.unchecked = True
        self.error: FloatingPointError | None = None

    @property
    def over(self) -> bool:
        return self.error is not None or self.epoch >= self.training.recipe.epochs

    def state(self) -> list[Tensor]:
        network = self.training.network
        return [*network.parameters(), *network.buffers(), *state_tensors(self.optimizer)]

    def begin_epoch(self) -> None:
        batches, kind = self.training.batches, self.training.kind
        self.total = torch.zeros((), device=self.device)
        name = f"{kind.name}/epoch{self.epoch}"
        self.generator = torch.Generator().manual_seed(torch_seed(batches.seed, name))
        self.seeds = stream(batches.seed, f"{name}/steps").integers(0, 2**32, len(batches)).tolist()

    def seed_step(self) -> None:
        """Seeds the global generators, so that what a kind draws from them depends on neither who trains beside it nor an interruption."""
        seed_all(self.seeds[self.index])

    def go_to(self, index: int, batch: Sequence[Tensor]) -> list[Tensor]:
        """Sets what a step at batch `index` of the epoch depends on, and returns the batch with what the kind draws for it."""
        recipe, steps = self.training.recipe, len(self.training.batches)
        self.index = index
        if type(self.training.kind).draw is not BaseKind.draw:
            self.seed_step()
        set_rate(self.optimizer, learning_rate(recipe, self.epoch * steps + index, steps, recipe.gamma))
        self.at = BaseStep(self.epoch, recipe.epochs, (self.epoch * steps + index) / (recipe.epochs * steps), self.generator)
        self.shown = len(batch)
        return [*batch, *(tensor.to(self.device) for tensor in drawn(self.training.kind, self.training.network, batch[0], self.at))]

    def step(self, batch: Sequence[Tensor], recorded: bool) -> Tensor:
        network, kind = self.training.network, self.training.kind
        if recorded and not kind.capturable:
            raise CaptureError("it says so")
        if not recorded:
            self.seed_step()
        (*views, labels), random = batch[: self.shown], batch[self.shown :]
        at = RecordedStep(random) if recorded else replace(self.at, drawn=random)
        loss_of = partial(loss_of_batch, network, kind, views, labels, at)
        if self.unchecked:
            loss_of, self.unchecked = partial(checked_loss, kind, network.given, loss_of), False
        return train_step(loss_of, self.optimizer, partial(kind.before_update, network), partial(kind.after_update, network))

    def end_epoch(self) -> None:
        mean = float(self.total) / len(self.training.batches)
        self.epoch += 1
        if not math.isfinite(mean):
            self.error = FloatingPointError(f"base training: the loss is {mean} in epoch {self.epoch}; lower the recipe's lr")
            return
        self.training.report(self.epoch, mean)
        self.training.checkpoint.keep(self.training.network, self.optimizer, self.epoch)


def one_epoch(seeds: Sequence[SeedTraining], steps: Steps, device: torch.device) -> None:
    """One epoch of seeds that are at the same epoch."""
    for seed in seeds:
        seed.begin_epoch()
    branches = [seed.branch for seed in seeds]
    for index, batches in enumerate(zip(*(seed.training.batches for seed in seeds), strict=True)):
        begin_step(device)
        given = [seed.go_to(index, batch[:-1]) for seed, batch in zip(seeds, batches, strict=True)]  # without Avalanche's task labels
        losses = steps(branches, given)
        torch._foreach_add_([seed.total for seed in seeds], losses)
    for seed in seeds:
        seed.end_epoch()


def drawn(kind: BaseKind, network: Network, view: Tensor, step: BaseStep) -> list[Tensor]:
    """What the kind draws for a step that shows such a view. Raises ValueError if it cannot draw for what the network is given."""
    with readable(kind, network.given):
        return kind.draw(network, view.shape, step)


def first_step(kind: BaseKind, network: Network, view: Tensor) -> BaseStep:
    """A step by which a kind's loss is tried before any training, with what the kind draws for such a view."""
    step = BaseStep(0, 1, 0.0, torch.Generator().manual_seed(0))
    return replace(step, drawn=drawn(kind, network, view, step))


def loss_of_batch(network: Network, kind: BaseKind, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
    views, labels = kind.expand(views, labels)
    if any(len(view) != len(labels) for view in views):
        raise ValueError(f"base kind {kind.name}: expand must return as many labels ({len(labels)}) as images ({[len(v) for v in views]})")
    return kind.loss(network, views, labels, step)


def checked_loss(kind: BaseKind, given: str, loss_of: Callable[[], Tensor]) -> Tensor:
    """The first step's loss. Raises ValueError unless it is one finite number with a gradient, and for a kind that cannot read what it is
    `given` in place of images."""
    with readable(kind, given):
        loss = loss_of()
    if not isinstance(loss, Tensor) or loss.dim() or not loss.requires_grad:
        what = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"base kind {kind.name}: loss must return one number with a gradient, and returned {what}")
    if not math.isfinite(value := float(loss.detach())):
        raise ValueError(f"base kind {kind.name}: the loss of the first batch is {value}")
    return loss


@contextmanager
def readable(kind: BaseKind, given: str) -> Iterator[None]:
    """Turns an error of a kind that is given something else than images into a ValueError that says so."""
    try:
        yield
    except (RuntimeError, IndexError, ValueError) as error:
        if given == "images":
            raise
        said = f"it cannot go on from {given} of a frozen part ({first_line(error)})"
        raise ValueError(f"base kind {kind.name}: {said}; say trains: all for it") from None


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; groups with a `rate` get it times that factor."""
    for group in optimizer.param_groups:
        set_lr(group, rate * group.get("rate", 1.0))
