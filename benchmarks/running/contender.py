"""The objects that all runs of a seed share (SeedContext), and one method during its run (Contender)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.base.features import TrainFeatures
from benchmarks.base.outputs import Outputs
from benchmarks.data.images import ImageSet
from benchmarks.data.splits import Indices, Split
from benchmarks.data.tensors import Tensors
from benchmarks.metrics.accuracy import session_accuracies
from benchmarks.running.audit import images_outside, numbers_kept, untouched
from benchmarks.running.evaluate import Evaluation, Evaluator, Known
from benchmarks.running.guard import blocked
from benchmarks.running.images import SessionImages
from benchmarks.running.returned import hooks_checked
from benchmarks.system.streams import seed_generators
from methods.contract.memory import BudgetError, LeakError, Memory
from methods.contract.selection import Measured, weighted
from methods.contract.strategy import SessionStrategy


class SeedError(RuntimeError):
    """A method has seeded the global generator, from which all draws of its session come."""


SEEDED = "the method seeds torch's generator, which then draws the same under every seed; draw from it as it is, it follows the run's seed"


@dataclass(frozen=True)
class SeedContext:
    """Objects that the runs of one seed share: images, split, Avalanche's experiences, the evaluator.

    `image_shapes` are the shapes [C, S, S] in which a method may get an image: as stored and as cropped. `blocked_folders` are folders
    that a method may not read (benchmarks/running/guard.py). `held` are the base training images that nobody trains on, under
    selection val.
    """

    images: ImageSet
    split: Split
    tensors: Tensors
    experiences: list[Any]
    evaluator: Evaluator
    image_shapes: tuple[tuple[int, ...], ...]
    blocked_folders: tuple[str, ...]
    held: Indices | None = None

    def oracle(self, strategy: SessionStrategy) -> Measured:
        """Test accuracies in percent: `methods.contract.context.Oracle`."""
        evaluation = self.evaluator.evaluate(strategy, strategy.session)
        *old, novel = session_accuracies(strategy.context.sessions, evaluation.correct, evaluation.total)
        return Measured(old[0], weighted(old, strategy.classes_by_session[:-1]), novel)


@dataclass
class Contender:
    """A method during its run, with what the runner needs to train, test and check it.

    `budget` and `shown` (indices of the images shown in this session) are the runner's copies. A method cannot change them through
    its memory object.
    """

    strategy: SessionStrategy
    seed_context: SeedContext
    images: SessionImages
    memory: Memory
    budget: int | None
    base: TrainFeatures
    environment: dict[str, str | int]
    base_parameters: int
    base_seconds: float
    most_numbers: int | None = None
    outputs: Outputs | None = None
    """What is stored of the part of the backbone that no session trains."""
    find_epochs: Callable[[Contender, int, int], int] | None = None
    """Under selection val: the number of epochs of a session, by session and seed (benchmarks/running/validation.py)."""
    network_seeds: Collection[int] = ()
    """What torch's generator is seeded with where the method asks for an untrained network."""
    shown: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    known: Known = field(default_factory=Known)

    def open(self, session: int) -> None:
        """Gives the method access to the session's images and to its exemplars, and to no others."""
        own = torch.from_numpy(self.seed_context.split.train[session])
        self.shown = torch.unique(torch.cat([own, self.memory.indices]))
        self.show(self.images, self.shown, self.base if session == 0 else None)
        self.memory.open(own)

    def show(self, images: SessionImages, shown: Tensor, base: TrainFeatures | None = None) -> None:
        """Puts the images of these indices, and what is stored for them, in place of others."""
        images.show(shown, self.seed_context.tensors, base, None if self.outputs is None else self.outputs.shown(shown))

    def train(self, session: int, seed: int) -> None:
        """Trains the strategy on a session. Its random numbers depend only on the seed and the session.

        Raises what the method raises; HookError for what its hooks return wrongly; SeedError if it seeds torch's generator; LeakError or
        BudgetError if it has kept images that it may not keep.
        """
        self.open(session)
        if self.find_epochs is not None and session:
            self.strategy.fixed_epochs = self.find_epochs(self, session, seed)
        seed_generators(seed, f"session{session}")
        seeded = {torch.initial_seed(), *self.network_seeds}
        with blocked(self.seed_context.blocked_folders), hooks_checked(self.strategy):
            self.strategy.train(self.seed_context.experiences[session], eval_streams=[])
        if torch.initial_seed() not in seeded:
            raise SeedError(f"session {session}: {SEEDED}")
        self.check_kept(session)

    def test(self, session: int) -> Evaluation:
        """Predicts all test images so far. Raises ScoreError, or TraceError if testing changes the method."""
        evaluator = self.seed_context.evaluator
        with blocked(self.seed_context.blocked_folders):
            self.known = evaluator.known(self.strategy)
            with untouched(self.strategy, session):
                evaluation = evaluator.evaluate(self.strategy, session, self.known)
            evaluator.check_alone(self.strategy, session, self.known)
        return evaluation

    def test_features(self, session: int) -> Tensor:
        """Features [n, d] of the test images that session `session` added, after the last `test`."""
        return self.seed_context.evaluator.features(self.strategy, session, self.known)

    def log(self) -> dict[str, float]:
        """The method's own numbers about the session."""
        with blocked(self.seed_context.blocked_folders):
            return self.strategy.session_log()

    def check_kept(self, session: int) -> None:
        indices = self.memory.indices
        if bool((~torch.isin(indices, self.shown)).any()):
            raise LeakError(f"session {session}: the memory lists images that the session did not show")
        if self.budget is not None and len(indices) > self.budget:
            raise BudgetError(f"session {session}: keeps {len(indices)} images, but declares a budget of {self.budget}")
        if self.most_numbers is not None and (kept := numbers_kept(self.strategy)) > self.most_numbers:
            raise BudgetError(f"session {session}: keeps {kept} numbers outside the network, but declares at most {self.most_numbers}")
        images = images_outside(self.strategy, self.seed_context.image_shapes)
        if images:
            where, count = images[0]
            raise LeakError(
                f"session {session}: {where} holds {count} image{'s' * (count > 1)} when the session is over; "
                f"declare a memory_budget and keep them with context.memory.keep"
            )
