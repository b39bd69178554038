"""The test side: asks a strategy for scores of test images, batch by batch, and counts. No method can reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.features import BaseFeatures, embed_all, embedding_key
from benchmarks.loading import Transform
from benchmarks.scenario import Tensors
from benchmarks.splits import Split

if TYPE_CHECKING:
    from methods.strategy import SessionStrategy

BATCH = 500  # features scored at once


class ScoreError(RuntimeError):
    """A method returned scores of the wrong shape, or scores that are not numbers."""


@dataclass(frozen=True)
class Evaluation:
    """Predicted labels over the test images seen so far (session by session), and counts per label."""

    predictions: NDArray[np.int16]
    correct: tuple[int, ...]
    total: tuple[int, ...]


class Evaluator:
    """Holds the test images of one split.

    Features are remembered per backbone, by the hash of its weights and statistics: while a method leaves the backbone
    alone (or several methods share one), only the images of new sessions are embedded; those of the base model come with it.
    Batches never cross sessions, so that what is computed does not depend on what was remembered.
    """

    def __init__(self, tensors: Tensors, split: Split, transform: Transform) -> None:
        self._tensors, self._split, self._transform = tensors, split, transform
        self._features: dict[str, dict[int, Tensor]] = {}

    def remember(self, base: BaseFeatures) -> None:
        """Take over the features that are stored with a base model."""
        self._under(base.key).update(base.test)

    def evaluate(self, strategy: SessionStrategy, session: int) -> Evaluation:
        """Test images of sessions 0..`session`, predicted among all classes seen. Raises ScoreError."""
        strategy.model.eval()
        seen = strategy.kit.sessions.span(session).stop
        predictions, labels, broken = [], [], []
        known = self._known(strategy)
        with torch.inference_mode():
            for number in range(session + 1):
                rows = torch.from_numpy(self._split.test[number])
                for features in self._embed(strategy, known, number, rows).split(BATCH):
                    scores = strategy.scores(features)
                    if scores.shape != (len(features), seen):
                        raise ScoreError(f"session {session}: scores are {list(scores.shape)}, not {[len(features), seen]}")
                    broken.append(torch.isnan(scores).any())
                    predictions.append(scores.argmax(1))
                labels.append(self._tensors.test_labels[rows])
        if bool(torch.stack(broken).any()):
            raise ScoreError(f"session {session}: scores are NaN")
        predicted, label = torch.cat(predictions).cpu().numpy(), torch.cat(labels).cpu().numpy()
        right = np.bincount(label[predicted == label], minlength=seen)
        total = np.bincount(label, minlength=seen)
        return Evaluation(predicted.astype(np.int16), tuple(map(int, right)), tuple(map(int, total)))

    def _known(self, strategy: SessionStrategy) -> dict[int, Tensor]:
        """Features remembered for the strategy's backbone as it is now, by session."""
        from methods.strategy import SessionStrategy

        if type(strategy).embed is not SessionStrategy.embed:  # its features depend on more than the backbone
            return {}
        return self._under(embedding_key(strategy.model))

    def _under(self, key: str) -> dict[int, Tensor]:
        if key not in self._features:
            while len(self._features) > 1:  # the base's and the latest
                self._features.pop(list(self._features)[-1])
            self._features[key] = {}
        return self._features[key]

    def _embed(self, strategy: SessionStrategy, known: dict[int, Tensor], number: int, rows: Tensor) -> Tensor:
        if number not in known:
            known[number] = embed_all(strategy.embed, self._tensors.test, rows, self._transform)
        return known[number]
