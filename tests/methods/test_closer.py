"""CLOSER's losses by hand, its groups, and that it is Proto's rule on its own base."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.bases.closer import Closer
from methods.contract import BaseStep
from methods.parts.contrast import between_classes, between_views, contrast, not_itself
from methods.parts.heads import CosineHead
from protocols.schema import Sessions
from tests.methods.conftest import Enter
from tests.methods.runs import train_all

STEP = BaseStep(0, 1, 0.0, torch.Generator())
SIDES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


class Given(torch.nn.Module):
    """A network whose features are its images; `embedded` holds how many it was shown at a time."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.head = CosineHead(2, scale=1.0, learns=False)
        self.head.weight = torch.nn.Parameter(rows)
        self.backbone = torch.nn.Linear(2, 2)
        self.embedded: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        self.embedded.append(len(images))
        return images

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


def test_contrast_is_a_mean_over_positives_of_each_anchor_and_anchors_without_one_do_not_count() -> None:
    """Anchor 0 has keys 1 and 2 and both are positives: -log of softmax(1, 0), mean. Anchor 1 has none."""
    similarities = torch.tensor([[9.0, 1.0, 0.0], [5.0, 9.0, 5.0]])
    positives = torch.tensor([[True, True, True], [False, False, False]])
    counted = torch.tensor([[False, True, True], [True, False, True]])
    expected = 0.5 * (math.log(1 + math.exp(-1)) + math.log(1 + math.e))
    assert float(contrast(similarities, positives, counted)) == pytest.approx(expected)
    assert float(contrast(similarities[1:], positives[1:], counted[1:])) == 0


def test_nt_xent_of_three_views_by_hand() -> None:
    """Two images at (1, 0) and (0, 1), three equal views each, temperature 1/2: an anchor sees two at cosine 1 and three at 0. Both
    positives stand in the denominator."""
    loss = between_views(SIDES.repeat(3, 1), 3, 0.5)
    assert float(loss) == pytest.approx(math.log(2 * math.exp(2) + 3) - 2)


def test_closeness_is_of_different_classes_alone() -> None:
    """Cosines of the two pairs of different classes: 1 and 0. The pair of one class (cosine 0) does not count."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert float(between_classes(x, torch.tensor([0, 0, 1]))) == pytest.approx(0.5)
    assert float(between_classes(x, torch.tensor([0, 0, 0]))) == 0
    upper = torch.ones(3, 3).triu(1) * (torch.tensor([0, 0, 1])[:, None] != torch.tensor([0, 0, 1]))
    assert float(between_classes(x, torch.tensor([0, 0, 1]))) == float(((x @ x.T) * upper).sum() / upper.sum()), "as of the upper triangle"
    assert not_itself(3, x.device).sum() == 6


def test_classes_are_drawn_together_by_a_minus_sign() -> None:
    """The loss by hand, and its trap: less of it where classes are closer, and a negative loss is right."""
    kind: Any = Closer(Closer.Config(spread=0.5, together=2.0, scale=1.0, contrast_temperature=1.0))
    labels = torch.tensor([0, 1])
    network: Any = Given(SIDES)
    views = [SIDES, SIDES, SIDES]
    ce = math.log(1 + math.exp(-1))
    spread = math.log(2 * math.e + 3) - 1
    assert float(kind.loss(network, views, labels, STEP).detach()) == pytest.approx(ce + 0.5 * spread - 2 * 0.0)
    close = F.normalize(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    only: Any = Closer(Closer.Config(spread=0.0, together=100.0, scale=1.0))
    assert only.loss(network, [close] * 3, labels, STEP).item() < 0 < only.loss(network, views, labels, STEP).item()


def test_all_views_are_classified() -> None:
    """A view on the wrong side costs, whichever it is."""
    kind: Any = Closer(Closer.Config(spread=0.0, together=0.0, scale=1.0))
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    for place in range(3):
        views = [SIDES] * 3
        views[place] = SIDES.flip(0)
        loss = float(kind.loss(Given(SIDES), views, torch.tensor([0, 1]), STEP).detach())
        assert loss == pytest.approx((2 * right + wrong) / 3)


def test_three_views_go_through_one_pass() -> None:
    """docs/modern.md 2.1, no. 0: so batch norm sees 3B images."""
    network: Any = Given(SIDES)
    Closer(Closer.Config()).loss(network, [SIDES] * Closer.views, torch.tensor([0, 1]), STEP)
    assert network.embedded == [3 * 2]


def test_the_temperature_is_a_factor_of_32() -> None:
    """docs/modern.md 2.1, no. 4: no divisor. Row (0, 2) and feature (3, 4) have cosine .8; the scale is not trained."""
    network: Any = SimpleNamespace(feature_dim=2, head=None)
    Closer(Closer.Config()).build(network, Sessions(base=1, way=1, count=1, shots=1))
    network.head.grow(1)
    network.head.weight.data[:] = torch.tensor([[0.0, 2.0]])
    assert float(network.head.scale) == 32 and [name for name, _ in network.head.named_parameters()] == ["weight"]
    assert float(network.head(torch.tensor([[3.0, 4.0]])).detach()) == pytest.approx(32 * 0.8)


def test_two_groups_where_the_backbone_has_its_own_rate() -> None:
    network: Any = Given(SIDES)
    assert len(Closer(Closer.Config()).groups(network)) == 1
    backbone, head = Closer(Closer.Config(backbone_rate=0.05)).groups(network)
    assert (backbone["rate"], head.get("rate", 1.0)) == (0.05, 1.0)
    assert len(backbone["params"]) + len(head["params"]) == len(list(network.parameters()))


def test_it_predicts_as_proto_on_its_base(enter: Enter) -> None:
    closer, proto = train_all(enter("closer")), train_all(enter("proto@closer"))
    assert np.array_equal(closer.test(2).predictions, proto.test(2).predictions)
