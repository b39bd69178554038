"""The test side: asks a strategy for scores of test images, batch by batch, and counts. No method can reach it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.loading import Transform
from benchmarks.scenario import Tensors
from benchmarks.splits import Split

if TYPE_CHECKING:
    from methods.strategy import SessionStrategy

BATCH = 500


class ScoreError(RuntimeError):
    """A method returned scores of the wrong shape, or scores that are not numbers."""


@dataclass(frozen=True)
class Evaluation:
    """Predicted labels over the test images seen so far (session by session), and counts per label."""

    predictions: NDArray[np.int16]
    correct: tuple[int, ...]
    total: tuple[int, ...]


def state_sha256(module: nn.Module) -> str:
    """Hash of all parameters and buffers, in name order."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Evaluator:
    """Holds the test images of one split.

    Features are remembered per backbone, by the hash of its weights and statistics: while a method leaves the backbone
    alone (or several methods share one), only the images of new sessions are embedded. Batches never cross sessions, so
    that what is computed does not depend on what was remembered.
    """

    def __init__(self, tensors: Tensors, split: Split, transform: Transform) -> None:
        self._tensors, self._split, self._transform = tensors, split, transform
        self._features: dict[str, dict[int, Tensor]] = {}

    def evaluate(self, strategy: SessionStrategy, session: int) -> Evaluation:
        """Test images of sessions 0..`session`, predicted among all classes seen. Raises ScoreError."""
        strategy.model.eval()
        seen = strategy.kit.sessions.span(session).stop
        predictions, labels = [], []
        known = self._known(strategy)
        with torch.inference_mode():
            for number in range(session + 1):
                rows = torch.from_numpy(self._split.test[number])
                for features in self._embed(strategy, known, number, rows).split(BATCH):
                    scores = strategy.scores(features)
                    if scores.shape != (len(features), seen):
                        raise ScoreError(f"session {session}: scores are {list(scores.shape)}, not {[len(features), seen]}")
                    if bool(torch.isnan(scores).any()):
                        raise ScoreError(f"session {session}: scores are NaN")
                    predictions.append(scores.argmax(1))
                labels.append(self._tensors.test_labels[rows])
        predicted, label = torch.cat(predictions).cpu().numpy(), torch.cat(labels).cpu().numpy()
        right = np.bincount(label[predicted == label], minlength=seen)
        total = np.bincount(label, minlength=seen)
        return Evaluation(predicted.astype(np.int16), tuple(map(int, right)), tuple(map(int, total)))

    def _known(self, strategy: SessionStrategy) -> dict[int, Tensor]:
        """Features remembered for the strategy's backbone as it is now, by session."""
        from methods.strategy import SessionStrategy

        if type(strategy).embed is not SessionStrategy.embed:  # its features depend on more than the backbone
            return {}
        key = f"{state_sha256(strategy.model.backbone)} {strategy.model.nine_windows}"
        if key not in self._features:
            while len(self._features) > 1:  # the base's and the latest
                self._features.pop(list(self._features)[-1])
            self._features[key] = {}
        return self._features[key]

    def _embed(self, strategy: SessionStrategy, known: dict[int, Tensor], number: int, rows: Tensor) -> Tensor:
        if number not in known:
            parts = [strategy.embed(self._transform.normalise(self._tensors.test[part])) for part in rows.split(BATCH)]
            known[number] = torch.cat(parts)
        return known[number]
