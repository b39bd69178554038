"""Kept images, and what iCaRL, EEIL, LUCIR and TOPIC share: anchors, teachers, what trains, what is kept."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from methods.contract.loading import load_method
from methods.contract.memory import LeakError
from methods.parts.exemplars import herding, random_choice
from protocols.schema import Sessions
from tests.methods.by_hand import mean_row, plain, unit_rows
from tests.methods.runs import Enter, before_loss, train_all

BESIDE = ("icarl", "eeil", "ncm")  # TOPIC's adaptations: 40 base images in `tiny`, and one a novel class
WITHIN = ("icarl:original", "eeil:original", "ncm:original")
CIFAR = Sessions(base=60, way=5, count=8, shots=5)


def greedy(rows: list[list[float]], most: int) -> list[int]:
    """iCaRL's Algorithm 4 written out, over features brought to length one."""
    units = unit_rows(rows)
    mean = mean_row(units)
    order: list[int] = []
    while len(order) < min(most, len(rows)):
        gaps = {}
        for candidate in set(range(len(rows))) - set(order):
            members = [units[i] for i in [*order, candidate]]
            gaps[candidate] = math.dist(mean_row(members), mean)
        order.append(min(gaps, key=lambda candidate: gaps[candidate]))
    return order


@pytest.mark.parametrize("seed", range(5))
def test_herding_is_the_greedy_search(seed: int) -> None:
    features = torch.randn(9, 3, generator=torch.Generator().manual_seed(seed)) * torch.arange(1, 10)[:, None]
    for most in (1, 4, 9):
        assert herding(features, most).tolist() == greedy(features.tolist(), most)


def test_herding_takes_no_image_twice_and_all_where_there_are_fewer() -> None:
    """One image is nearer to the mean than all others, again and again; equal images count as several."""
    features = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert sorted(herding(features, 10).tolist()) == [0, 1, 2, 3]
    assert sorted(herding(features, 2).tolist()) == [1, 3]


def test_herding_sees_directions_not_lengths() -> None:
    """Of raw features the first would be nearest to the mean; of features of length one it is the last, between the others."""
    assert herding(torch.tensor([[1.0, 0.0], [0.0, 1.0], [10.0, 10.0]]), 1).tolist() == [2]


def test_random_choice_is_sorted_without_repeats_and_seeded() -> None:
    torch.manual_seed(3)
    draws = [random_choice(20, 6).tolist() for _ in range(30)]
    assert all(draw == sorted(set(draw)) and len(draw) == 6 for draw in draws)
    assert set().union(*draws) == set(range(20))
    torch.manual_seed(3)
    assert random_choice(20, 6).tolist() == draws[0] != draws[1]
    assert random_choice(4, 6).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("method", [*BESIDE, "topic"])
def test_default_budget_is_400_base_images_and_one_a_novel_class(method: str) -> None:
    """Trap 8: 440 on CIFAR's 60 + 8 x 5 classes (docs/methods.md 3.1); five a class, base and novel, for herded exemplars."""
    cls: Any = load_method(method)
    assert cls.budget(cls.Config(), CIFAR) == 440
    if method != "topic":
        assert cls.budget(cls.Config(**cls.presets["original"]), CIFAR) == 500


@pytest.mark.parametrize(("variant", "kept"), [*((v, [40, 42, 44]) for v in BESIDE), *((v, [30, 40, 50]) for v in WITHIN)])
def test_memory_holds_what_was_promised_after_every_session(variant: str, kept: list[int], enter: Enter) -> None:
    """Trap 8: one image a novel class at random, or five of every class by herding; what is kept is never dropped."""
    contender, before = enter(variant), torch.empty(0, dtype=torch.int64)
    for session in range(3):
        contender.train(session, 0)
        rows = contender.memory.indices
        counts = contender.seed_context.tensors.labels[rows].bincount().tolist()
        assert len(rows) == kept[session]
        assert bool(torch.isin(before, rows).all())
        assert counts[6:] == [1 if variant in BESIDE else 5] * 2 * session
        assert variant in BESIDE or counts[:6] == [5] * 6
        before = rows
    assert contender.memory.budget == kept[-1]


def test_random_base_images_and_shots_depend_on_the_seed(enter: Enter) -> None:
    """Another seed, other exemplars; the same seed, the same."""
    kept = []
    for seed in (0, 0, 1):
        contender = enter("icarl")
        for session in range(2):
            contender.train(session, seed)
        kept.append(contender.memory.indices.tolist())
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize("variant", WITHIN)
def test_teacher_is_the_old_network_in_eval_mode_without_gradient(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher in training mode distils from other statistics, and moves them."""
    contender = enter(variant, *(["balanced_epochs=0"] if variant == "eeil:original" else []))
    old: list[nn.Module] = []
    seen: list[int] = []

    def observe(strategy: Any) -> None:
        assert strategy.model.training
        assert not any(module.training for module in strategy.now.teacher.modules())
        assert not any(p.requires_grad for p in strategy.now.teacher.parameters())
        assert len(strategy.now.teacher.head.weight) == strategy.old_classes == len(strategy.model.head.weight) - 2
        for (name, value), expected in zip(strategy.now.teacher.state_dict().items(), old[-1].state_dict().values(), strict=True):
            assert torch.equal(value, expected), name
        before = strategy.old_and_now()
        assert not before[0].requires_grad and not before[1].requires_grad
        assert before[2].requires_grad and before[3].requires_grad
        seen.append(strategy.session)

    before_loss(monkeypatch, type(contender.strategy), observe)
    for session in range(3):
        old.append(copy.deepcopy(contender.strategy.model))
        contender.train(session, 0)
        assert "teacher" not in vars(contender.strategy), "a network outlives its session"
    assert set(seen) == {1, 2}


@pytest.mark.parametrize("variant", [*BESIDE, "topic"])
@pytest.mark.parametrize("train", ["last_block", "all"])
def test_anchors_are_plain_images_through_the_whole_network(
    variant: str, train: str, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed once up to the last block, yet exactly what the whole network makes of them in every step; the old side is fixed."""
    contender = enter(variant, f"train={train}")
    old: list[Any] = []
    seen: list[int] = []

    def observe(strategy: Any) -> None:
        rows = contender.memory.indices
        images = plain(contender, rows).to(memory_format=torch.channels_last)
        with torch.no_grad():
            features = old[-1].embed(images)
        assert torch.allclose(strategy.now.old_features, features, atol=1e-6)
        assert torch.allclose(strategy.now.old_logits, old[-1].classify(features), atol=1e-5)
        assert not strategy.now.old_features.requires_grad and not strategy.now.old_logits.requires_grad
        assert torch.equal(strategy.now.anchor_labels, contender.seed_context.tensors.labels[rows])
        whole = copy.deepcopy(strategy.model).embed(strategy.context.images.plain(rows))  # in the modes of training
        assert torch.equal(strategy.embed_anchors(), whole)
        assert strategy.embed_anchors().requires_grad
        if seen.count(strategy.session):
            assert not torch.allclose(whole, strategy.now.old_features, atol=1e-6), "nothing trains"
        seen.append(strategy.session)

    before_loss(monkeypatch, type(contender.strategy), observe)
    for session in range(3):
        old.append(copy.deepcopy(contender.strategy.model).eval())
        contender.train(session, 0)
    assert seen == [1] * 3 + [2] * 3


@pytest.mark.parametrize("variant", [*BESIDE, "topic"])
def test_only_last_block_and_head_train_and_statistics_move_there_alone(variant: str, enter: Enter) -> None:
    """Traps 1 and 13: below the last block all is bit-equal, with weight decay and momentum on; TOPIC's statistics too (--wo-bn)."""
    contender = enter(variant)
    contender.train(0, 0)
    backbone = contender.strategy.model.backbone
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    contender.train(1, 0)
    moved = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    trained = {"blocks.4.weight", "blocks.5.weight", "blocks.5.bias"}  # the second block of conv2: convolution, batch norm
    statistics = {"blocks.5.running_mean", "blocks.5.running_var", "blocks.5.num_batches_tracked"}
    assert moved == (trained if variant == "topic" else trained | statistics)
    assert contender.strategy.config.weight_decay > 0 and contender.strategy.config.momentum > 0


@pytest.mark.parametrize("variant", WITHIN)
def test_exemplars_are_in_the_batches(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """`within`: three of each old class and all five shots of the new; here in one batch, augmented."""
    contender = enter(variant, "per_class=3")
    batches: list[list[int]] = []
    before_loss(monkeypatch, type(contender.strategy), lambda strategy: batches.append(strategy.mb_y.bincount().tolist()))
    train_all(contender, 2)
    assert batches[0] == [3] * 6 + [5] * 2


def test_forgotten_base_images_cannot_be_had_back(enter: Enter) -> None:
    """The memory is the only way to an earlier session's images."""
    contender = enter("icarl")
    contender.train(0, 0)
    base = torch.from_numpy(contender.seed_context.split.train[0])
    contender.train(1, 0)
    kept = torch.isin(base, contender.memory.indices)
    assert len(contender.images.plain(base[kept])) == 40
    with pytest.raises(LeakError):
        contender.images.plain(base[~kept][:1])
