"""The evaluator: right counts, refused scores, and features remembered only while the backbone stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.base.features import BaseFeatures, TrainFeatures, embedding_key
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.evaluate import ScoreError, compare
from benchmarks.running.runner import Contender, Runner
from benchmarks.system.settings import Settings
from methods.contract import SessionStrategy
from protocols.schema import Protocol


@pytest.fixture
def contender(tiny: Protocol, settings: Settings) -> Contender:
    contender = Runner(tiny, settings).enter(identities(make_request(tiny, None, None, "0", "ft_cnn", []))[0])
    contender.train(0, 0)
    return contender


def test_counts_agree_with_predictions_made_by_hand(contender: Contender) -> None:
    contender.train(1, 0)
    evaluation = contender.seed_context.evaluator.evaluate(contender.strategy, 1)
    seed_context, model = contender.seed_context, contender.strategy.model.eval()
    rows = np.concatenate(seed_context.split.test[:2])
    expected = []
    for row in rows:  # one image at a time, as nobody would
        x = (seed_context.tensors.test[row].float() / 255 - 0.3053) / 0.3760
        with torch.no_grad():
            expected.append(int(model(x[None]).argmax()))
    assert evaluation.predictions.tolist() == expected
    labels = seed_context.tensors.test_labels[torch.from_numpy(rows)].tolist()
    assert evaluation.total == tuple(labels.count(label) for label in range(8))
    right = [label for label, guess in zip(labels, expected, strict=True) if label == guess]
    assert evaluation.correct == tuple(right.count(label) for label in range(8))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda f: torch.zeros(len(f), 7), "scores are"),
        (lambda f: torch.zeros(len(f) - 1, 6), "scores are"),
        (lambda f: torch.full((len(f), 6), torch.nan), "session 0: scores are NaN"),
        (lambda f: torch.zeros(len(f), 6).index_fill(1, torch.tensor([2]), torch.inf), "session 0: scores are infinite"),
        (lambda f: torch.full((len(f), 6), -torch.inf), "session 0: scores of an image are -inf for all classes"),
        (lambda f: None, r"scores\(\) must return a floating-point tensor \[N, classes seen\], and returned None$"),
        (lambda f: [[0.0] * 6] * len(f), "and returned a value of type list$"),
        (lambda f: np.zeros((len(f), 6)), "and returned a NumPy array of float64"),
        *(
            (lambda f, d=d: torch.zeros(len(f), 6, dtype=d), f"and returned a tensor of {d}")
            for d in (torch.int64, torch.bool, torch.cfloat)
        ),
    ],
)
def test_wrong_scores_are_refused(
    scores: Callable[[Any], Any], message: str, contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 9: a column for a class not yet seen is an error, not a zero."""
    monkeypatch.setattr(contender.strategy, "scores", scores)
    with pytest.raises(ScoreError, match=message):
        contender.seed_context.evaluator.evaluate(contender.strategy, 0)


def test_a_network_without_finite_numbers_is_named(contender: Contender) -> None:
    contender.strategy.model.head.weight.data[1] = torch.nan
    with pytest.raises(
        ScoreError, match=r"session 0: scores are NaN \(its training has diverged: head.weight of the network is not finite\)$"
    ):
        contender.seed_context.evaluator.evaluate(contender.strategy, 0)


def test_a_class_may_be_ruled_out(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contender.strategy, "scores", lambda f: torch.zeros(len(f), 6).index_fill(1, torch.tensor([0, 1, 2]), -torch.inf))
    assert set(contender.seed_context.evaluator.evaluate(contender.strategy, 0).predictions.tolist()) == {3}


def test_the_same_rule_predicts_in_every_session(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 10: session 0 judged by another head than the one that goes on (FACT's table gains two points by it)."""
    asked: list[int] = []
    strategy = contender.strategy

    def scores(features: Tensor) -> Tensor:
        asked.append(strategy.session)
        return torch.zeros(len(features), strategy.classes_seen).index_fill(1, torch.tensor([3]), 1.0)

    monkeypatch.setattr(strategy, "scores", scores)
    for session in range(2):
        if session:
            contender.train(session, 0)
        assert set(contender.seed_context.evaluator.evaluate(contender.strategy, session).predictions.tolist()) == {3}
    assert set(asked) == {0, 1}


def test_features_are_remembered_while_the_backbone_is_the_same(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_embedded(monkeypatch)
    evaluator = contender.seed_context.evaluator
    evaluator.evaluate(contender.strategy, 0)
    assert not calls, "the base's come with it"
    contender.strategy.model.backbone.blocks[1].running_mean += 3.0
    first = evaluator.evaluate(contender.strategy, 0)
    images = sum(calls)
    assert images == len(contender.seed_context.split.test[0])
    again = evaluator.evaluate(contender.strategy, 0)
    assert sum(calls) == images
    assert np.array_equal(first.predictions, again.predictions)


def test_a_changed_weight_or_statistic_forgets_them(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch-norm statistics are buffers, not parameters: they count too."""
    calls = count_embedded(monkeypatch)
    evaluator, backbone = contender.seed_context.evaluator, contender.strategy.model.backbone
    backbone.blocks[0].weight.data += 0.01  # the base's features are stored with it
    before = evaluator.evaluate(contender.strategy, 0).predictions
    images = sum(calls)
    backbone.blocks[1].running_mean += 3.0
    after = evaluator.evaluate(contender.strategy, 0).predictions
    assert sum(calls) == 2 * images
    assert not np.array_equal(before, after)


def test_features_of_the_present_base_model_are_kept_and_of_earlier_ones_dropped(
    contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on another base kind comes after one that trained its backbone."""
    evaluator, strategy = contender.seed_context.evaluator, contender.strategy
    mean, images = strategy.model.backbone.blocks[1].running_mean, len(contender.seed_context.split.test[0])
    begun, calls = mean.clone(), count_embedded(monkeypatch)

    def embedded_at(shift: float) -> int:
        """How many images are embedded for a backbone in which this statistic is shifted by so much from the first base model's."""
        mean.copy_(begun + shift)
        before = sum(calls)
        evaluator.evaluate(strategy, 0)
        return sum(calls) - before

    assert [embedded_at(0.0), embedded_at(1.0)] == [0, images]
    mean.copy_(begun + 2.0)
    key = embedding_key(strategy.model)
    test = {0: strategy.embed(evaluator.transform.normalise(contender.seed_context.tensors.test[:images]))}
    evaluator.remember(BaseFeatures(key, TrainFeatures(key, torch.arange(0), torch.empty(0)), test))
    assert [embedded_at(shift) for shift in (2.0, 3.0, 4.0)] == [0, images, images]
    assert embedded_at(2.0) == 0, "of a method that begins as the present base model"
    assert embedded_at(0.0) == images, "the former base model's are dropped"


def count_embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images in every call of the model's embedding."""
    from methods.parts.network import Network

    calls: list[int] = []
    original = Network.embed

    def spy(self: Network, images: Tensor) -> Tensor:
        calls.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Network, "embed", spy)
    return calls


def test_a_method_with_its_own_embedding_is_never_remembered(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_embedded(monkeypatch)

    class Own(type(contender.strategy)):  # type: ignore[misc]
        def embed(self, images: Tensor) -> Tensor:
            return SessionStrategy.embed(self, images)

    contender.strategy.__class__ = Own
    for _ in range(2):
        contender.seed_context.evaluator.evaluate(contender.strategy, 0)
    assert sum(calls) == 2 * len(contender.seed_context.split.test[0])


SCORES = torch.tensor([[1.0, -2.0, -torch.inf], [0.5, 3.0, -torch.inf]])


@pytest.mark.parametrize("again", [SCORES.clone(), SCORES * (1 + 1e-5)])
def test_rounding_is_no_company(again: Tensor) -> None:
    compare(again, SCORES, 1e-3, "session 0: the scores")


@pytest.mark.parametrize(
    "again",
    [
        SCORES * 1.01,
        SCORES.flip(0),
        SCORES.clamp(min=-10),  # a class that was out of the question is not any more
        torch.full_like(SCORES, -torch.inf),
        torch.full_like(SCORES, torch.nan),
    ],
)
def test_scores_that_company_changes(again: Tensor) -> None:
    with pytest.raises(ScoreError, match="session 0: the scores of a test image depend on the images beside it"):
        compare(again, SCORES, 1e-3, "session 0: the scores")
