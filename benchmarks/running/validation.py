"""How many epochs a session trains under `selection: val`: found on left-out shots, without any test image (docs/methods.md 1.7)."""

from __future__ import annotations

import copy
from dataclasses import replace
from statistics import median_high

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.splits import Indices, folds
from benchmarks.running.contender import Contender
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.experiences import make_experiences
from benchmarks.running.guard import blocked
from benchmarks.running.returned import hooks_checked
from benchmarks.system.streams import seed_generators
from methods.contract.selection import Measured
from methods.contract.strategy import SessionStrategy


def epochs_by_validation(contender: Contender, session: int, seed: int) -> int:
    """Number of epochs for a session: the median over folds, rounded up to one that occurred.

    In each fold a copy of the method trains without one shot of every new class (a fifth of its images where there are more than
    five), and is measured after every epoch on these and on the held-out base images. The method's own rule says when it is best:
    `finished()`, else the rule of `BestEpoch`.
    """
    context = contender.seed_context
    held, own = context.held, context.split.train[session]
    assert held is not None
    labels = context.tensors.labels.cpu()[torch.from_numpy(own)].numpy()
    nothing = np.empty(0, dtype=np.int64)
    shown = (held, *[nothing] * (session - 1), own)
    tensors = replace(context.tensors, test=context.tensors.plain, test_labels=context.tensors.labels)
    judge = Evaluator(tensors, replace(context.split, test=shown), context.evaluator.transform)
    return median_high([trained_without(contender, session, seed, left_out, judge, len(held)) for left_out in folds(own, labels)])


def trained_without(contender: Contender, session: int, seed: int, left_out: Indices, judge: Evaluator, held: int) -> int:
    """Epochs after which a copy of the method, trained without these images, was best. `judge` predicts the `held` held-out base images,
    then all of the session's."""
    context = contender.seed_context
    own = context.split.train[session]
    out = np.isin(own, left_out)
    labels = judge.labels()

    def measure(strategy: SessionStrategy) -> Measured:
        right = judge.evaluate(strategy, session).predictions == labels
        base, novel = 100 * float(right[:held].mean()), 100 * float(right[held:][out].mean())
        return Measured(base, base, novel)

    strategy = copy_of(contender, torch.from_numpy(own[~out]), seed)
    strategy.context = replace(strategy.context, oracle=measure)
    train = tuple(own[~out] if number == session else indices for number, indices in enumerate(context.split.train[: session + 1]))
    experience = make_experiences(replace(context.split, train=train), context.tensors.labels)[session]
    seed_generators(seed, f"session{session}")
    with blocked(context.blocked_folders), hooks_checked(strategy):
        strategy.train(experience, eval_streams=[])
    return strategy.epochs_chosen


def copy_of(contender: Contender, own: Tensor, seed: int) -> SessionStrategy:
    """A copy of the method that sees the session's images `own` and its exemplars. What is not its own is shared."""
    strategy, context = contender.strategy, contender.strategy.context
    memory = copy.deepcopy(contender.memory)
    memory.open(own)
    images = contender.images.with_memory(memory, seed)
    contender.show(images, torch.unique(torch.cat([own, memory.indices])))
    shared = {id(thing): thing for thing in (context.untrained_network, context.compiling_pays, context.sessions, strategy.experience)}
    copied = copy.deepcopy(strategy, {**shared, id(contender.memory): memory, id(contender.images): images})
    copied.fixed_epochs = None  # that of the session before would limit this one
    return copied
