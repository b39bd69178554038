"""The test side: asks a strategy for scores of test images, batch by batch, and counts. No method can reach it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.base.features import BaseFeatures, embed_all, embedding_key
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform, embedding_size
from methods.contract.strategy import SessionStrategy

BATCH = 500  # features scored at once
ROUNDING = {"fp32": 1e-3, "bf16": 5e-2}
"""How far, relative to their norm, features and scores may move with the number of images beside them."""


Known = dict[int, Tensor]
"""Features of test images under one backbone, by the session that brought them."""


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
        self._tensors, self._split, self.transform = tensors, split, transform
        self._features: dict[str, dict[int, Tensor]] = {}
        self._base: dict[int, Tensor] = {}

    def remember(self, base: BaseFeatures) -> None:
        """Take over the features that are stored with a base model."""
        self._base = base.test
        self._under(base.key).update(base.test)

    def known(self, strategy: SessionStrategy) -> Known:
        """Features remembered for the strategy's backbone as it is now. Hashes its weights: asked once after a session's training."""
        if type(strategy).embed is not SessionStrategy.embed:  # its features depend on more than the backbone
            return {}
        return self._under(embedding_key(strategy.model))

    def evaluate(self, strategy: SessionStrategy, session: int, known: Known | None = None) -> Evaluation:
        """Test images of sessions 0..`session`, predicted among all classes seen. Raises ScoreError.

        `known` is what `known(strategy)` gives, where it has been asked since the backbone last changed.
        """
        strategy.model.eval()
        seen = strategy.context.sessions.span(session).stop
        predictions, labels, broken = [], [], []
        known = self.known(strategy) if known is None else known
        with torch.inference_mode():
            for number in range(session + 1):
                indices = torch.from_numpy(self._split.test[number])
                for features in self._embed(strategy, known, number, indices).split(BATCH):
                    scores = strategy.scores(features)
                    if scores.shape != (len(features), seen):
                        raise ScoreError(f"session {session}: scores are {list(scores.shape)}, not {[len(features), seen]}")
                    broken.append(torch.isnan(scores).any())
                    predictions.append(scores.argmax(1))
                labels.append(self._tensors.test_labels[indices])
        if bool(torch.stack(broken).any()):
            raise ScoreError(f"session {session}: scores are NaN")
        predicted, label = torch.cat(predictions).cpu().numpy(), torch.cat(labels).cpu().numpy()
        right = np.bincount(label[predicted == label], minlength=seen)
        total = np.bincount(label, minlength=seen)
        return Evaluation(predicted.astype(np.int16), tuple(map(int, right)), tuple(map(int, total)))

    def features(self, strategy: SessionStrategy, session: int, known: Known) -> Tensor:
        """Of the test images that session `session` brought, [n, d], under the strategy as it is now."""
        return self._embed(strategy, known, session, torch.from_numpy(self._split.test[session]))

    def labels(self) -> NDArray[np.int16]:
        """Of all test images, session by session: those after session t are a beginning of it."""
        indices = torch.from_numpy(np.concatenate(self._split.test))
        return self._tensors.test_labels[indices].cpu().numpy().astype(np.int16)

    def check_alone(self, strategy: SessionStrategy, session: int, known: Known) -> None:
        """What is predicted for an image must not depend on the images beside it: that would be learning from test images.

        Images of the base and of the latest session are scored once more, alone and mixed with each other. Raises ScoreError.
        """
        precision = strategy.model.precision
        with torch.inference_mode():
            batches, scores = [], []
            for number in sorted({0, session}):
                indices = torch.from_numpy(self._split.test[number])[: embedding_size(self.transform.data.size, self._tensors.test.device)]
                batch = known[number][: len(indices)] if number in known else self._features_of(strategy, indices)
                if known.get(number) is not self._base.get(number):
                    compare(self._features_of(strategy, indices[:1]), batch[:1], ROUNDING[precision], f"session {session}: the features")
                batches.append(batch[:BATCH])
                scores.append(strategy.scores(batches[-1]))
            compare(strategy.scores(batches[-1][:1]), scores[-1][:1], ROUNDING["fp32"], f"session {session}: the scores")
            mixed = torch.cat(batches)
            order = torch.arange(len(mixed)).flip(0)[:BATCH]
            compare(strategy.scores(mixed[order]), torch.cat(scores)[order], ROUNDING["fp32"], f"session {session}: the scores")

    def _features_of(self, strategy: SessionStrategy, indices: Tensor) -> Tensor:
        return strategy.embed(self.transform.normalise(self._tensors.test[indices]))

    def _under(self, key: str) -> dict[int, Tensor]:
        if key not in self._features:
            while len(self._features) > 1:  # the base's and the latest
                self._features.pop(list(self._features)[-1])
            self._features[key] = {}
        return self._features[key]

    def _embed(self, strategy: SessionStrategy, known: dict[int, Tensor], number: int, indices: Tensor) -> Tensor:
        if number not in known:
            known[number] = embed_all(strategy.embed, self._tensors.test, indices, self.transform)
        return known[number]


def compare(again: Tensor, first: Tensor, rounding: float, what: str) -> None:
    """Raises ScoreError unless both are equal up to `rounding`."""
    finite = torch.isfinite(first)
    near = torch.linalg.vector_norm((again - first)[finite]) <= rounding * torch.linalg.vector_norm(first[finite])
    if not (torch.equal(finite, torch.isfinite(again)) and bool(near)):
        raise ScoreError(
            f"{what} of a test image depend on the images beside it; each must be judged by itself "
            f"(batch norm in training mode, or statistics of the batch?)"
        )
