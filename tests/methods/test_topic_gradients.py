"""TOPIC: every term of a session's loss moves what it should, with gradients by hand; nodes are the gas's, from shuffled images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.parts.neural_gas import NeuralGas, fit
from methods.topic import Topic
from tests.methods.by_hand import plain
from tests.methods.runs import Enter, gradients_beside, train_all

OFF = {"max_weight": 0.0, "min_weight": 0.0, "anchor_weight": 0.0}


def with_nodes(old: list[list[float]], new: list[list[float]], features: list[list[float]], labels: list[int], **config: Any) -> Any:
    """TOPIC in a session, with just enough around it for its loss: nodes of classes 0, 1, ..., the new all rivals of the old."""
    topic: Any = Topic.__new__(Topic)
    topic.config = Topic.Config(**{**OFF, **config})
    gas: Any = NeuralGas(2)
    gas.centroids, gas.labels = torch.tensor([*old, *new]), torch.arange(len(old) + len(new))
    gas.centres = nn.Parameter(torch.tensor(new))
    topic.model, topic.first_new = SimpleNamespace(gas=gas), len(old)
    rivals = torch.cartesian_prod(torch.arange(len(old)), torch.arange(len(old), len(gas.labels)))
    topic.now = SimpleNamespace(features=torch.tensor(features, requires_grad=True), rivals=rivals)
    topic.mbatch = [torch.empty(0), torch.tensor(labels)]
    topic.mb_output = torch.zeros(len(labels), len(gas.labels), requires_grad=True)
    return topic


def gradient(topic: Any, of: Tensor) -> list[list[float]]:
    """Of the session's loss; zeros if it does not depend on `of`."""
    (found,) = torch.autograd.grad(topic.session_loss(), of, materialize_grads=True)
    return found.tolist()


def test_max_loss_pushes_new_nodes_from_old_ones() -> None:
    """docs/methods.md 4.6: at distance .3 and margin .5 the gradient is the weight times the unit vector towards the old node.

    The second new node is .5 and more away from it, so nothing pushes it.
    """
    topic = with_nodes([[0.1, 0.2]], [[0.28, 0.44], [0.1, 0.8]], [[1.0, 0.0]], [1], max_weight=2.0)
    pushed, left = gradient(topic, topic.model.gas.centres)
    assert pushed == pytest.approx([-2 * 0.6, -2 * 0.8], rel=1e-4)
    assert left == [0.0, 0.0]


def test_min_loss_draws_new_nodes_to_the_features_of_their_class() -> None:
    """weight 2 (centre - feature) / N, summed over the class's features, in space `unit`: (3, 4) is (.6, .8), (0, 2) is (0, 1)."""
    features = [[3.0, 4.0], [0.0, 2.0], [-5.0, 0.0]]
    topic = with_nodes([[0.1, 0.2]], [[0.5, 0.5], [0.0, 0.25]], features, [1, 1, 2], min_weight=0.3)
    first, second = gradient(topic, topic.model.gas.centres)
    assert first == pytest.approx([0.3 * 2 * ((0.5 - 0.6) + (0.5 - 0.0)) / 3, 0.3 * 2 * ((0.5 - 0.8) + (0.5 - 1.0)) / 3], rel=1e-4)
    assert second == pytest.approx([0.3 * 2 * (0.0 + 1.0) / 3, 0.3 * 2 * 0.25 / 3], rel=1e-4)


@pytest.mark.parametrize("space", ["raw", "unit"])
def test_min_loss_draws_features_to_the_node_of_their_class(space: str) -> None:
    """weight 2 (feature - centre) / N; in space `unit`, what is left of it across the feature, over the feature's length."""
    features, nodes, labels = [[3.0, 4.0], [0.0, 2.0], [-5.0, 0.0]], {1: (0.5, 0.5), 2: (0.0, 0.25)}, [1, 1, 2]
    topic = with_nodes([[0.1, 0.2]], [list(node) for node in nodes.values()], features, labels, min_weight=0.3, space=space)
    found = gradient(topic, topic.now.features)
    for (x, y), label, row in zip(features, labels, found, strict=True):
        length = (x * x + y * y) ** 0.5 if space == "unit" else 1.0
        u, (a, b) = (x / length, y / length), nodes[label]
        pull = 0.3 * 2 * (u[0] - a) / 3, 0.3 * 2 * (u[1] - b) / 3
        along = pull[0] * u[0] + pull[1] * u[1] if space == "unit" else 0.0
        assert row == pytest.approx([(pull[0] - along * u[0]) / length, (pull[1] - along * u[1]) / length], rel=1e-4, abs=1e-7)
        assert max(map(abs, row)) > 1e-3


def test_anchor_loss_trains_the_last_block(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less the shots' cross-entropy, `al` has the gradient of 350 mean (now - old)², zero until something has moved."""

    def anchored(now: Tensor, before: Tensor) -> Tensor:
        return 350 * ((now / now.norm(dim=1, keepdim=True) - before / before.norm(dim=1, keepdim=True)) ** 2).mean()

    steps = gradients_beside(train_all(enter("topic:al", "lr=0.01"), 1), monkeypatch, anchored)
    assert len(steps) == 3
    for found, expected in steps:
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5)
    largest = [float(found.abs().max()) for found, _ in steps]
    assert largest[0] < 1e-5
    assert min(largest[1:]) > 1e-2


def test_base_nodes_are_what_the_gas_returns_from_shuffled_images(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gas runs over all base features in another order than the split's, from the first of that order; its nodes are kept."""
    given: list[Any] = []
    kept: list[list[int]] = []
    add = NeuralGas.add

    def spy(features: Tensor, start: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
        nodes, edges = fit(features, start, *settings)
        given.append((features, start, nodes))
        return nodes, edges

    def added(gas: NeuralGas, *rest: Any) -> list[int]:
        kept.append(add(gas, *rest))
        return kept[-1]

    monkeypatch.setattr("methods.topic.fit", spy)
    monkeypatch.setattr(NeuralGas, "add", added)
    contender = train_all(enter("topic"), 1)
    [(features, start, nodes)], [taken] = given, kept
    centroids = contender.strategy.model.gas.centroids
    assert torch.equal(centroids, nodes[taken])
    assert float((centroids - start[taken]).norm(dim=1).min()) > 0
    assert float((centroids - start[taken]).norm(dim=1).mean()) > 0.01
    with torch.no_grad():
        embedded = contender.strategy.model.embed(plain(contender, torch.from_numpy(contender.seed_context.split.train[0])))
    in_order = embedded / embedded.norm(dim=1, keepdim=True)
    assert torch.equal(start, features[:40])
    assert not torch.allclose(start, in_order[:40], atol=1e-3)
    places = torch.cdist(features, in_order, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    assert float(places.values.max()) < 1e-4
    assert len(features) == len(in_order)
    assert not torch.equal(places.indices, torch.arange(len(features)))
