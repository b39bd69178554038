"""Evaluation: gets a strategy's scores for test images, batch by batch, and counts correct predictions. Methods have no access to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.base.features import BaseFeatures, embed_all, embedding_key, in_pieces
from benchmarks.base.outputs import Outputs, part_key
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform, embedding_size
from benchmarks.running.returned import described
from methods.contract.strategy import SessionStrategy

BATCH = 500  # features scored at once
ROUNDING = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""Largest change of features and scores, relative to their norm, when the other images of the batch change."""

BROKEN: dict[str, Callable[[Tensor], Tensor]] = {
    "scores are NaN": torch.isnan,
    "scores are infinite; only -inf is a score, of a class that is never predicted": torch.isposinf,
    "scores of an image are -inf for all classes; one of them must be finite": torch.isneginf,
}
"""What is wrong with scores, as the largest of each image shows."""


@dataclass(frozen=True)
class Known:
    """What is known of the test images under one backbone: features [n, d] by the session that added them; and the inputs [m, ...] of
    its last block, of all of them, if those are stored."""

    features: dict[int, Tensor] = field(default_factory=dict)
    maps: Tensor | None = None


class ScoreError(RuntimeError):
    """A method's scores have the wrong form, are NaN or infinite, or depend on the other images of the batch."""


@dataclass(frozen=True)
class Evaluation:
    """Predicted labels of all test images so far, in session order, and correct predictions and test images per label."""

    predictions: NDArray[np.int16]
    correct: tuple[int, ...]
    total: tuple[int, ...]


class Evaluator:
    """Holds the test images of one split, and evaluates strategies on them.

    Features are cached per backbone, by the hash of its weights and statistics: while a method leaves the backbone unchanged (or
    several methods share one), only the images of new sessions are embedded. Features under the base model are stored with it. Where a
    recipe stores what lies below the last block, a method that trains that block alone is tested from there. Batches never cross
    sessions, so that results do not depend on what is cached.
    """

    def __init__(self, tensors: Tensors, split: Split, transform: Transform) -> None:
        self._tensors, self._split, self.transform = tensors, split, transform
        self._features: dict[str, dict[int, Tensor]] = {}
        self._base: dict[int, Tensor] = {}
        self._base_key = ""
        self._maps: dict[str, Tensor] = {}

    def remember(self, base: BaseFeatures, outputs: Outputs | None = None) -> None:
        """Caches the features that are stored with a base model, and inputs of its last block where those are stored."""
        self._base, self._base_key = base.test, base.key
        self._under(base.key).update(base.test)
        if outputs is not None and outputs.of_maps:
            self._maps[outputs.key] = outputs.test

    def known(self, strategy: SessionStrategy) -> Known:
        """What is cached for the strategy's present backbone; nothing for a method with its own `embed`.

        Hashes the weights, so call it once after the training of a session.
        """
        if type(strategy).embed is not SessionStrategy.embed:  # its features depend on more than the backbone
            return Known()
        maps = self._maps.get(part_key(strategy.model, "last_block")) if self._maps else None
        return Known(self._under(embedding_key(strategy.model)), maps)

    def evaluate(self, strategy: SessionStrategy, session: int, known: Known | None = None) -> Evaluation:
        """Predicts the test images of sessions 0..`session` among all classes seen. Raises ScoreError.

        `known` is the result of `known(strategy)`, if it was called since the backbone last changed.
        """
        strategy.model.eval()
        seen = strategy.context.sessions.span(session).stop
        predictions, labels, broken = [], [], []
        known = self.known(strategy) if known is None else known
        with torch.inference_mode():
            for number in (number for number in range(session + 1) if len(self._split.test[number])):
                indices = torch.from_numpy(self._split.test[number])
                for features in self._embed(strategy, known, number, indices).split(BATCH):
                    scores = strategy.scores(features)
                    check_form(scores, [len(features), seen], session)
                    broken.append(torch.stack([test(scores.amax(1)).any() for test in BROKEN.values()]))
                    predictions.append(scores.argmax(1))
                labels.append(self._tensors.test_labels[indices])
        for what, found in zip(BROKEN, torch.stack(broken).any(0).tolist(), strict=True):
            if found:
                raise ScoreError(f"session {session}: {what}{diverged(strategy)}")
        predicted, label = torch.cat(predictions).cpu().numpy(), torch.cat(labels).cpu().numpy()
        right = np.bincount(label[predicted == label], minlength=seen)
        total = np.bincount(label, minlength=seen)
        return Evaluation(predicted.astype(np.int16), tuple(map(int, right)), tuple(map(int, total)))

    def features(self, strategy: SessionStrategy, session: int, known: Known) -> Tensor:
        """Features [n, d] of the test images that session `session` added, under the present strategy."""
        return self._embed(strategy, known, session, torch.from_numpy(self._split.test[session]))

    def labels(self) -> NDArray[np.int16]:
        """True labels of all test images, in session order. Those tested after session t are a prefix."""
        indices = torch.from_numpy(np.concatenate(self._split.test))
        return self._tensors.test_labels[indices].cpu().numpy().astype(np.int16)

    def check_alone(self, strategy: SessionStrategy, session: int, known: Known) -> None:
        """Raises ScoreError if scores of an image depend on the other images of its batch, which would be learning from test images.

        Images of the base session and of the latest session are scored again, alone and mixed with each other.
        """
        precision = strategy.model.precision
        with torch.inference_mode():
            batches, scores = [], []
            for number in sorted({0, session}):
                indices = torch.from_numpy(self._split.test[number])[: embedding_size(self.transform.data.size, self._tensors.test.device)]
                batch = known.features[number][: len(indices)] if number in known.features else self._features_of(strategy, indices)
                if known.features.get(number) is not self._base.get(number):
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
        if key not in self._features:  # keep the present base model's, and the latest
            of_base = {name: known for name, known in self._features.items() if name == self._base_key}
            self._features = {**of_base, key: {}}
        return self._features[key]

    def _embed(self, strategy: SessionStrategy, known: Known, number: int, indices: Tensor) -> Tensor:
        if number not in known.features:
            if known.maps is None:
                known.features[number] = embed_all(strategy.embed, self._tensors.test, indices, self.transform)
            else:
                known.features[number] = in_pieces(strategy.model.embed_upper, known.maps, indices, self.transform.data.size)
        return known.features[number]


def diverged(strategy: SessionStrategy) -> str:
    """Where the network itself has lost its finite numbers; '' if it has not."""
    tensors = strategy.model.state_dict().items()
    lost = [name for name, tensor in tensors if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    return f" (its training has diverged: {lost[0]} of the network is not finite)" if lost else ""


def check_form(scores: object, shape: list[int], session: int) -> None:
    """Raises ScoreError unless these are numbers of that shape."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        expected = "scores() must return a floating-point tensor [N, classes seen]"
        raise ScoreError(f"session {session}: {expected}, and returned {described(scores)}")
    if list(scores.shape) != shape:
        raise ScoreError(f"session {session}: scores are {list(scores.shape)}, not {shape}")


def compare(again: Tensor, first: Tensor, rounding: float, what: str) -> None:
    """Raises ScoreError unless both are equal up to `rounding`, relative to their norm."""
    finite = torch.isfinite(first)
    near = torch.linalg.vector_norm((again - first)[finite]) <= rounding * torch.linalg.vector_norm(first[finite])
    if not (torch.equal(finite, torch.isfinite(again)) and bool(near)):
        raise ScoreError(
            f"{what} of a test image depend on the images beside it; each must be judged by itself "
            f"(batch norm in training mode, or statistics of the batch?)"
        )
