"""ALICE's CosFace, pairs and balanced prototypes by hand."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from methods.alice import Alice, first_fit
from methods.bases import cosface
from methods.bases.cosface import CosFace, cos_face, pair_label, projector
from methods.contract import BaseStep
from methods.parts.heads import CosineHead
from methods.parts.projected import ProjectedHead
from tests.methods.conftest import Enter


def test_cosface_by_hand() -> None:
    """The margin is taken from the true class alone: 30 * (.5 - .4) against 30 * .2 and 30 * .1."""
    loss = cos_face(torch.tensor([[0.5, 0.2, 0.1]]), torch.tensor([0]), 30.0, 0.4)
    assert torch.allclose(loss, F.cross_entropy(torch.tensor([[3.0, 6.0, 3.0]]), torch.tensor([0])))


def test_every_pair_has_one_label_in_either_order() -> None:
    pairs = list(itertools.combinations(range(60), 2))
    low, high = torch.tensor(pairs).T
    assert pair_label(low, high, 60).tolist() == list(range(60, 60 + 1770))
    assert torch.equal(pair_label(high, low, 60), pair_label(low, high, 60))


def test_the_projector_ends_without_scale_and_shift() -> None:
    last = projector(3, 5)[-1]
    assert isinstance(last, torch.nn.BatchNorm1d) and not last.affine


def made_kind(monkeypatch: pytest.MonkeyPatch, share: float, **changes: Any) -> CosFace:
    monkeypatch.setattr(cosface, "beta", lambda alpha, count, _: torch.full((count,), share))
    monkeypatch.setattr(cosface, "shuffled", lambda *_: torch.tensor([1, 2, 0]))
    return CosFace(CosFace.Config(mixes=1, **changes))


@pytest.mark.parametrize(("drawn", "share"), [(0.45, 0.45), (0.3, 0.5), (0.9, 0.5)])
def test_mixtures_stand_after_the_images_and_a_share_far_from_half_becomes_half(
    drawn: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels 0, 2, 2 beside 2, 2, 0: the second is of one class and left out. Both views have the same mixtures."""
    kind, images = made_kind(monkeypatch, drawn), torch.arange(3.0).reshape(3, 1, 1, 1)
    views, labels = kind.with_pairs([images, 10 * images], torch.tensor([0, 2, 2]), 3, torch.Generator())
    assert labels.tolist() == [0, 2, 2, 4, 4]
    assert torch.allclose(views[0].flatten()[3:], torch.tensor([1 - share, 2 * share]))
    assert torch.allclose(views[1], 10 * views[0])


def test_two_views_are_averaged_over_all_columns() -> None:
    """Idle columns stand in the denominator: five columns for two classes, one pair and two idle ones."""
    kind: Any = CosFace(CosFace.Config(scale=1.0, margin=0.0, pairs=False))
    head = ProjectedHead(2, torch.nn.Identity(), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), learns=True)
    head.grow(2)
    network: Any = SimpleNamespace(head=head, embed=lambda images: images)
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    loss = kind.loss(network, [a, b], torch.tensor([0]), BaseStep(0, 1, 0.0, torch.Generator()))
    logits = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert torch.allclose(loss, F.cross_entropy(logits, torch.tensor([0, 0])))
    assert head(a).shape == (1, 2), "the classes alone are scored"


def test_the_first_slot_that_is_farther_gives_way() -> None:
    """Not the farthest: .1 takes the place of .5, the first that is farther, and .9 stays."""
    assert first_fit([0.2, 0.5, 0.9, 0.1], 3) == [3, 1, 2]
    assert first_fit([0.05, 0.5, 0.9, 0.1], 3) == [0, 3, 2]
    assert first_fit([0.3, 0.1], 5) == [0, 1]
    assert first_fit([0.1, 0.2, 0.3], 2) == [0, 1]


def test_a_base_prototype_is_of_five_images_near_the_mean(enter: Enter) -> None:
    """Session 0 is scored with the prototypes that are carried on; `all` has Proto's."""
    few, closest, everything, proto = (
        enter("alice"),
        enter("alice", "choose=closest"),
        enter("alice", "choose=all"),
        enter("proto@cosface"),
    )
    for contender in (few, closest, everything, proto):
        contender.train(0, 0)
    s: Any = closest.strategy
    indices = torch.from_numpy(closest.seed_context.split.train[0])
    features, labels = s.embed_indices(indices), closest.images.labels(indices)
    own = features[labels == 2]
    order = F.cosine_similarity(own, own.mean(0, keepdim=True)).argsort(descending=True)
    assert torch.allclose(s.rows[2], own[order[:5]].mean(0), atol=1e-6)
    assert torch.allclose(everything.strategy.rows, proto.strategy.model.head.weight, atol=1e-6)
    assert not torch.allclose(few.strategy.rows, everything.strategy.rows, atol=1e-3)
    kept = few.strategy.rows.clone()
    few.train(1, 0)
    assert torch.equal(few.strategy.rows[:6], kept)


def test_the_projector_is_dropped(enter: Enter) -> None:
    alice: Any = enter("alice").strategy
    assert isinstance(alice.model.head, CosineHead)
    assert Alice.base == "cosface"
