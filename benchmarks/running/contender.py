"""What the runs of a seed share, and a strategy on its way through one: what it is shown, what it must not have kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.base.features import TrainFeatures
from benchmarks.data.images import ImageSet
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.metrics.accuracy import session_accuracies
from benchmarks.running.audit import images_outside, untouched
from benchmarks.running.evaluate import Evaluation, Evaluator
from benchmarks.running.guard import shut
from benchmarks.running.images import SessionImages
from benchmarks.system.streams import torch_seed
from methods.contract.memory import BudgetError, LeakError, Memory
from methods.contract.strategy import SessionStrategy


@dataclass(frozen=True)
class Stage:
    """What the runs of one seed share: images, split, Avalanche's experiences, the evaluator.

    `image_shapes` are those in which an image may meet a method: [C, S, S] as stored and as cropped. `shut` are folders that
    a method may not read (benchmarks.running.guard).
    """

    images: ImageSet
    split: Split
    tensors: Tensors
    experiences: list[Any]
    evaluator: Evaluator
    image_shapes: tuple[tuple[int, ...], ...]
    shut: tuple[str, ...]

    def oracle(self, strategy: SessionStrategy) -> list[float]:
        """Test accuracy on the classes of each session so far, in percent: `methods.contract.context.Oracle`."""
        evaluation = self.evaluator.evaluate(strategy, strategy.session)
        return session_accuracies(strategy.kit.sessions, evaluation.correct, evaluation.total)


@dataclass
class Entrant:
    """`budget` and `shown` are the runner's own: what a method does to its memory object changes neither."""

    strategy: SessionStrategy
    stage: Stage
    images: SessionImages
    memory: Memory
    budget: int | None
    base: TrainFeatures
    environment: dict[str, str | int]
    base_parameters: int
    base_seconds: float
    shown: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def open(self, session: int) -> None:
        """Show the images of the session and those that the method kept; all others are out of its reach from now on."""
        own = torch.from_numpy(self.stage.split.train[session])
        self.shown = torch.unique(torch.cat([own, self.memory.rows]))
        self.images.show(self.shown, self.stage.tensors, self.base if session == 0 else None)
        self.memory.open(own)

    def train(self, session: int, seed: int) -> None:
        """Hand the session's images to the strategy. All that it draws depends on the seed and the session alone.

        Raises what the method raises; LeakError or BudgetError where it has kept images that it may not keep.
        """
        self.open(session)
        torch.manual_seed(torch_seed(seed, f"session{session}"))
        with shut(self.stage.shut):
            self.strategy.train(self.stage.experiences[session], eval_streams=[])
        self.check_kept(session)

    def test(self, session: int) -> Evaluation:
        """Predict all test images so far. Raises ScoreError, or TraceError where testing changes the method."""
        evaluator = self.stage.evaluator
        with shut(self.stage.shut):
            with untouched(self.strategy, session):
                evaluation = evaluator.evaluate(self.strategy, session)
            evaluator.check_alone(self.strategy, session)
        return evaluation

    def check_kept(self, session: int) -> None:
        rows = self.memory.rows
        if bool((~torch.isin(rows, self.shown)).any()):
            raise LeakError(f"session {session}: the memory lists images that the session did not show")
        if self.budget is not None and len(rows) > self.budget:
            raise BudgetError(f"session {session}: keeps {len(rows)} images, but declares a budget of {self.budget}")
        images = images_outside(self.strategy, self.stage.image_shapes)
        if images:
            where, count = images[0]
            raise LeakError(
                f"session {session}: {where} holds {count} images when the session is over; "
                f"declare a memory_budget and keep them with kit.memory.keep"
            )
