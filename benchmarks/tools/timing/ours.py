"""The suite's own training and evaluation, prepared for timing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.base.cache import Checkpoint
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.data.images import ImageSet
from benchmarks.data.transforms import Transform
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.contender import Contender
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from benchmarks.tools.timing.paired import Work
from methods.parts.network import Network
from protocols.schema import Protocol, Recipe, Sessions


def few(images: ImageSet, classes: int, train: int, test: int) -> ImageSet:
    """The first `train` training images and `test` test images of each of the first `classes` classes."""

    def first(numbers: np.ndarray, most: int) -> np.ndarray:
        return np.concatenate([np.flatnonzero(numbers == number)[:most] for number in range(classes)])

    indices, test_indices = first(images.train_classes, train), first(images.test_classes, test)
    shown, plain = images.training(indices)
    return replace(
        images,
        class_names=images.class_names[:classes],
        train=shown,
        plain=plain,
        test=images.test[test_indices],
        train_classes=images.train_classes[indices],
        test_classes=images.test_classes[test_indices],
        keys=None,
        texts=images.texts and images.texts.of(range(classes)),
    )


def hasty(recipe: Recipe) -> Recipe:
    """A recipe of one epoch, without changes of methods' parameters, for timing only."""
    return recipe.model_copy(update={"epochs": 1, "lr": 0.01, "schedule": "constant", "methods": {}, "bases": {}})


class Unkept(Checkpoint):
    """Writes nothing and resumes nothing: what is timed is trained from its start, each time."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), BaseKey({}))

    def keep(self, network: Network, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        pass

    def resume(self, network: Network, optimizer: torch.optim.Optimizer) -> int:
        return 0

    def remove(self) -> None:
        pass


def base_training(protocol: Protocol, recipe: Recipe, images: ImageSet, precision: str, device: torch.device, compiled: bool) -> Work:
    """One epoch of `train_base` over `images`, with augmentation."""
    kind = kind_of("linear")
    network = build_network(protocol, kind, precision, 0, None, recipe.head_gain)
    network.compiled_batch = recipe.batch if compiled else 0
    tensor = torch.from_numpy(images.train.copy()).to(device)
    labels = torch.from_numpy(images.train_classes).to(device)
    batches = Batches(tensor, labels, torch.arange(len(tensor)), Transform(protocol.data, protocol.augment), recipe.batch, 0, "base")
    short = hasty(recipe)

    def work() -> int:
        batches.epoch = 0
        train_base(network, kind, batches, short, device, Unkept(), lambda epoch, loss: None)
        return len(tensor)

    return work


def contender(
    protocol: Protocol, recipe: str, images: ImageSet, sessions: Sessions, variant: str, *overrides: str, settings: Settings
) -> Contender:
    """A method on a base model trained for one epoch, after session 0. Overrides are like `ft_cnn.epochs=100`."""
    data = protocol.data.model_copy(update={"classes": None})
    changed = protocol.model_copy(
        update={
            "data": data,
            "sessions": sessions,
            "recipes": {recipe: hasty(protocol.recipes[recipe])},
            "recipe": recipe,
            "canonical": None,
        }
    )
    request = make_request(changed, recipe, "paper", "0", variant, overrides)
    own = Runner(changed, settings, images).enter(identities(request)[0])
    own.train(0, 0)
    return own


def session_training(own: Contender) -> Work:
    """Training of the last session, which can be repeated."""
    session = own.strategy.context.sessions.count
    shown = len(own.seed_context.split.train[session])

    def work() -> int:
        own.train(session, 0)
        return shown * own.strategy.session_epochs()

    return work


def evaluation(own: Contender) -> Work:
    """Evaluation of all test images, without cached features."""

    def work() -> int:
        seed_context: Any = own.seed_context
        fresh = Evaluator(seed_context.tensors, seed_context.split, seed_context.evaluator.transform)
        return sum(fresh.evaluate(own.strategy, own.strategy.session).total)

    return work
