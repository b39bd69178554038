"""CEC's episodes and attention by hand, and that queries do not see each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from methods.bases.episodes import Episodes, episode
from methods.contract import BaseStep
from methods.parts.attention import Attention, attended_cosines
from tests.methods.conftest import Enter
from tests.methods.runs import train_all


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_an_episode_has_one_image_a_class_and_others_as_queries() -> None:
    """Class 5 has one image and takes no part; of class 1's three queries two are asked."""
    labels = torch.tensor([1, 7, 1, 5, 1, 7, 1])
    support, queries, targets = episode(labels, 15, 2, generator())
    of = labels[support].tolist()
    assert sorted(of) == [1, 7] and sorted(support.tolist()) == [0, 1]
    assert sorted(queries.tolist()) == [2, 4, 5]
    assert [of[target] for target in targets] == labels[queries].tolist()
    assert len(episode(labels, 1, 2, generator())[0]) == 1
    support, queries, _ = episode(torch.tensor([1, 2]), 15, 2, generator())
    assert torch.equal(support, queries), "nobody else to ask for"


def test_attention_over_rows_and_one_query_by_hand() -> None:
    torch.manual_seed(0)
    attention, rows, x = Attention(4).eval(), torch.randn(3, 4), torch.randn(2, 4)
    for number, query in enumerate(x):
        tokens = torch.cat([rows, query[None]])
        q, k, v = (layer(tokens) for layer in (attention.query, attention.key, attention.value))
        out = F.layer_norm(tokens + attention.out((q @ k.T / 2).softmax(1) @ v), (4,))
        expected = F.cosine_similarity(out[:3], out[3:])
        assert torch.allclose(attended_cosines(attention, rows, x)[number], expected, atol=1e-6)


def test_queries_are_judged_alone() -> None:
    """Trap: in one sequence they would see each other."""
    torch.manual_seed(0)
    attention, rows, x = Attention(4).eval(), torch.randn(3, 4), torch.randn(5, 4)
    together = attended_cosines(attention, rows, x)
    assert torch.allclose(together[2:3], attended_cosines(attention, rows, x[2:3]), atol=1e-6)
    assert not torch.allclose(attended_cosines(attention, rows[:2], x), together[:, :2], atol=1e-3), "a new class changes old scores"


def test_the_loss_is_over_classes_and_as_many_turned_ones() -> None:
    """Features are the images' four pixels. Two classes, one query each: rows are both supports and both turned ones, one angle a class."""
    torch.manual_seed(0)
    modes: list[bool] = []
    kind, attention = Episodes(Episodes.Config()), Attention(4).eval()
    network: Any = SimpleNamespace(parts={"attention": attention}, embed=lambda images: images.flatten(1), train=modes.append)
    images, labels = torch.randn(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])
    found = kind.loss(network, [images], labels, BaseStep(0, 1, 0.0, generator()))
    drawn = generator()
    support, queries, targets = episode(labels, 15, 15, drawn)
    angles = torch.randint(1, 4, (2,), generator=drawn).tolist()

    def turned(positions: torch.Tensor) -> torch.Tensor:
        by_class = dict(zip(labels[support].tolist(), angles, strict=True))
        return torch.stack([images[p].rot90(by_class[int(labels[p])], (1, 2)).flatten() for p in positions])

    rows = torch.cat([images[support].flatten(1), turned(support)])
    x = torch.cat([images[queries].flatten(1), turned(queries)])
    logits = 16 * attended_cosines(attention, rows, x)
    assert torch.allclose(found, F.cross_entropy(logits, torch.cat([targets, 2 + targets])))
    assert modes == [False], "trap: evaluation mode, so that dropout never acts"
    Episodes(Episodes.Config(evaluation=False)).loss(network, [images], labels, BaseStep(0, 1, 0.0, generator()))
    assert modes == [False, True]


def test_the_attention_has_its_own_rate_and_goes_on_with_a_cosine_base(enter: Enter) -> None:
    contender = enter("cec")
    network: Any = contender.strategy.model
    backbone, attention = Episodes(Episodes.Config(attention_rate=0.5)).groups(network)
    assert (backbone.get("rate", 1.0), attention["rate"]) == (1.0, 0.5)
    assert (Episodes.parent, Episodes.added) == ("cosine", ("attention",))
    assert float(network.head.scale) == 16
    train_all(contender)
    s: Any = contender.strategy
    x = s.embed_indices(torch.from_numpy(contender.seed_context.split.train[2]))
    assert torch.allclose(s.scores(x), attended_cosines(network.parts["attention"], s.rows, x), atol=1e-5)


def test_a_base_without_attention_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="its base must have attention"):
        enter("cec@cosine")
