"""OrCo's losses, targets and their assignment by hand, and what its sessions keep and train."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.planning.plan import identities, make_request
from benchmarks.running.runner import Runner
from methods.bases.contrast import Contrast, projector
from methods.bases.targets import Targets
from methods.contract import BaseStep
from methods.orco import OrCo
from methods.parts.contrast import batch_means, contrast_inside, not_itself, spread_out
from methods.parts.grouped import pulled_by_groups
from methods.parts.projected import ProjectedHead
from methods.parts.targets import assigned, drawn_together, near, repelled, taken_in_turn
from protocols.schema import Protocol, Sessions
from tests.methods.conftest import Enter
from tests.methods.runs import before_loss

AXES = torch.eye(3)


def test_positives_stand_inside_the_logarithm() -> None:
    """Similarities 1 and 0 of two positives, 2 of a negative: -log((e + 1) / (e + 1 + e^2)); the second anchor has no positive."""
    similarities = torch.tensor([[9.0, 1.0, 0.0, 2.0], [1.0, 9.0, 1.0, 1.0]])
    positives = torch.tensor([[True, True, True, False], [False, False, False, False]])
    counted = torch.tensor([[False, True, True, True], [True, False, True, True]])
    expected = -math.log((math.e + 1) / (math.e + 1 + math.exp(2)))
    assert float(contrast_inside(similarities, positives, counted)) == pytest.approx(expected)
    x = similarities.clone().requires_grad_()
    contrast_inside(x, positives, counted).backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and not x.grad[1].any()


def test_spread_by_hand() -> None:
    """The mean of class 0 lies on the target of class 1, which its batch lacks, and at a right angle to the free one."""
    means, e = torch.tensor([[0.0, 2.0, 0.0], [9.0, 9.0, 9.0]]), math.e
    expected = (2 * math.log(2 * e + 1) + math.log(e + 2)) / 3
    assert float(spread_out(means, torch.tensor([True, False]), AXES)) == pytest.approx(expected)


def test_a_novel_mean_is_driven_off_the_targets_of_base_classes() -> None:
    """It lies between target 0, of a base class that no image of the batch has, and its own, 2."""
    x = torch.tensor([[0.6, 0.0, 0.6, 0.0]], requires_grad=True)
    means, present = batch_means(x, torch.tensor([2]), 3)
    [gradient] = torch.autograd.grad(spread_out(means, present, torch.eye(4)), x)
    assert gradient[0, 0] > 0.02, "descent makes its share of target 0 smaller"
    assert float(gradient[0] @ x[0].detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("number", "count", "each"), [(3, 7, [3, 2, 2]), (3, 2, [1, 1, 0]), (3, 3, [1, 1, 1]), (0, 4, [])])
def test_anchors_are_as_many_as_asked_and_take_turns(number: int, count: int, each: list[int]) -> None:
    taken = [taken_in_turn(number, count, torch.Generator().manual_seed(seed)) for seed in range(9)]
    assert all(sorted(one.bincount(minlength=number).tolist(), reverse=True) == each for one in taken)
    assert number == 0 or len({tuple(one.tolist()) for one in taken}) > 1


def test_anchors_lie_within_half_of_epsilon() -> None:
    noise = [torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[0.5, 1.0, 0.5]])]
    first, second = near(AXES[:1], noise, 0.8)
    assert torch.allclose(first, torch.tensor([1.0, 0.0, 0.0])), "shorter, and of unit length again"
    assert torch.allclose(second, torch.tensor([1.0, 0.4, 0.0]) / math.sqrt(1.16))


def test_the_second_phases_loss_by_hand() -> None:
    """Two base classes and a free target on the axes; two images of class 0 at its target, in two views: class 1 is missing.
    Cross-entropy log(1 + 1/e); spread log(e + 2). Contrast at temperature 1: the images have each other in three others of themselves, and
    four free anchors at right angles; so have the anchors."""
    kind = Targets(Targets.Config(epsilon=0.0, temperature=1.0))
    head = ProjectedHead(3, torch.nn.Identity(), AXES)
    head.grow(2)
    network: Any = SimpleNamespace(head=head, calls=[], eval=lambda: network.calls.append("eval"))
    network.embed = lambda images: network.calls.append("embed") or images
    views, labels = [torch.tensor([[2.0, 0.0, 0.0]] * 2)] * 2, torch.tensor([0, 0])
    step = BaseStep(0, 1, 0.0, torch.Generator().manual_seed(0))
    drawn = kind.draw(network, views[0].shape, step)
    assert [tuple(one.shape) for one in drawn] == [(2,), (2, 3), (2, 3)]
    loss = kind.loss(network, views, labels, replace(step, drawn=drawn))
    assert float(loss) == pytest.approx(math.log(1 + 1 / math.e) + math.log(math.e + 2) + math.log(3 + 4 / math.e))
    assert network.calls == ["eval", "embed"], "evaluation mode before anything is embedded (docs/modern.md 2.3, no. 4)"


@pytest.mark.parametrize("whole", [False, True])
def test_phases_2_and_3_run_in_evaluation_mode(tiny: Protocol, runner: Runner, whole: bool) -> None:
    """docs/modern.md 2.3, no. 4: statistics of batch norm stay phase 1's, where the backbone trains in phase 2 (CUB-200), too."""
    first, second = (
        runner.enter(identities(make_request(tiny, None, None, "0", variant, changes))[0])
        for variant, changes in (("proto@contrast", []), ("orco", [f"targets.backbone={str(whole).lower()}"]))
    )
    buffers, weights = dict(first.strategy.model.backbone.named_buffers()), dict(first.strategy.model.backbone.named_parameters())
    assert any(name.endswith("running_mean") and value.any() for name, value in buffers.items()), "phase 1 has moved them"
    backbone = second.strategy.model.backbone
    assert all(torch.equal(value, weights[name]) for name, value in backbone.named_parameters()) == (not whole)
    for session in range(3):
        assert all(torch.equal(value, buffers[name]) for name, value in backbone.named_buffers())
        second.train(session, 0)
    assert all(torch.equal(value, buffers[name]) for name, value in backbone.named_buffers())


def test_means_of_a_batch() -> None:
    means, present = batch_means(torch.tensor([[1.0, 3.0], [3.0, 5.0], [7.0, 7.0]]), torch.tensor([2, 2, 0]), 3)
    assert means.tolist() == [[7.0, 7.0], [0.0, 0.0], [2.0, 4.0]]
    assert present.tolist() == [True, False, True]


def test_a_target_is_an_anchor_of_its_class_and_of_nobody_else() -> None:
    """x at e_0 under label 0, anchors e_0 and e_1 under 0 and 1, temperature 1: two anchors have a positive at 1 and a negative at 0."""
    loss = drawn_together(AXES[:1], torch.tensor([0]), AXES[:2], torch.tensor([0, 1]), 1.0)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1)))


def test_targets_repel_each_other() -> None:
    targets = repelled(5, 8, 1000, 0)
    off = (targets @ targets.T)[not_itself(5, targets.device)]
    assert float(off.max()) < -0.2, "near the simplex's -1/4"
    assert torch.allclose(targets.norm(dim=1), torch.ones(5))


def test_targets_of_cifar_100_are_its_simplex() -> None:
    """Rows of length sqrt(128) would still be random directions after 1,000 steps; without adding gradients up, cosines are up to .2."""
    targets = repelled(100, 128, 1000, 0)
    off = (targets @ targets.T)[not_itself(100, targets.device)]
    assert off.tolist() == pytest.approx([-1 / 99] * len(off), abs=1e-3)


def test_the_assignment_is_the_best_one_and_leaves_old_targets() -> None:
    """Both means are nearest to axis 1; together they fit best as (1, 2). The target before `first` stays."""
    means = torch.tensor([[0.0, 0.9, 0.2], [0.0, 0.8, 0.7]])
    assert assigned(means, AXES, 0).tolist() == [1, 2, 0]
    means = torch.tensor([[0.9, 0.0, 0.1]])
    assert assigned(means, AXES, 1).tolist() == [0, 2, 1]


def test_the_first_phase_by_hand_and_its_running_means() -> None:
    """Features are the images; one class, two images at right angles: all others are positives, so the supervised part is 0."""
    kind = Contrast(Contrast.Config(temperature=1.0, self_share=0.25, mean_momentum=0.5))
    rows = torch.zeros(2, 2)
    network: Any = SimpleNamespace(
        embed=lambda images: images, parts={"projector": torch.nn.Identity(), "means": SimpleNamespace(rows=rows)}
    )
    x = torch.eye(2)
    loss = kind.loss(network, [x, x], torch.tensor([1, 1]), BaseStep(0, 1, 0.0, torch.Generator()))
    assert float(loss) == pytest.approx(0.25 * (math.log(math.e + 2) - 1))
    assert rows.tolist() == [[0.0, 0.0], [0.25, 0.25]]


def test_more_than_two_views_of_an_image_stand_inside_the_logarithm_together() -> None:
    """One image in three views, one of them at a right angle: all others are positives, so the loss is 0. Outside, two views would have a
    share of e / (e + 1) and 1 / (e + 1) each."""
    kind = Contrast(Contrast.Config(temperature=1.0, self_share=1.0, crops=3))
    parts = {"projector": torch.nn.Identity(), "means": SimpleNamespace(rows=torch.zeros(1, 2))}
    network: Any = SimpleNamespace(embed=lambda images: images, parts=parts)
    views = [torch.eye(2)[:1], torch.eye(2)[:1], torch.eye(2)[1:]]
    assert float(kind.loss(network, views, torch.tensor([0]), BaseStep(0, 1, 0.0, torch.Generator()))) == pytest.approx(0, abs=1e-6)


def test_the_projector_has_no_batch_norm_and_is_carried_over(enter: Enter) -> None:
    assert not any(isinstance(layer, torch.nn.BatchNorm1d) for layer in projector(4, 8, 2))
    network: Any = SimpleNamespace(parts=torch.nn.ModuleDict(), feature_dim=4, head=None)
    Contrast(Contrast.Config(hidden=8, width=6)).build(network, Sessions(base=2, way=1, count=1, shots=1))
    own = network.parts["projector"]
    Targets(Targets.Config(steps=3)).build(network, Sessions(base=2, way=1, count=1, shots=1))
    assert network.head.project is own and not len(network.parts)
    assert network.head.targets.shape == (3, 6)
    with pytest.raises(ValueError, match=r"3 classes need as many targets, and targets\.number is 2"):
        Targets(Targets.Config(number=2, steps=3)).build(network, Sessions(base=2, way=1, count=1, shots=1))
    assert Targets.knows_all_classes and Targets.parent == "contrast"


def test_cross_entropy_of_base_images_counts_as_the_config_says() -> None:
    """Two images at their targets, one base and one novel: each has -log(e / (e + 1))."""
    made: Any = object.__new__(OrCo)
    made.context, made.session = SimpleNamespace(sessions=Sessions(base=1, way=1, count=1, shots=1)), 1
    made.model = SimpleNamespace(head=ProjectedHead(2, torch.nn.Identity(), torch.eye(2)))
    made.mbatch, made.now = [None, torch.tensor([0, 1])], SimpleNamespace(features=torch.eye(2))
    losses = []
    for weight in (0.0, 0.6):
        made.config = OrCo.Config(epsilon=0.0, base_weight=weight)
        losses.append(float(made.session_loss()))
    assert losses[1] - losses[0] == pytest.approx(0.6 * math.log(1 + math.exp(-1)))


def test_a_sessions_loss_by_hand() -> None:
    """Of three targets, one is the base class's, one the shot's and one free; two images of both seen classes are at their targets.
    Cross-entropy .5 log(1 + 1/e). Spread log(e + 2): the novel mean, the base class's target and the free one. Contrast: four anchors, as
    there are four vectors, two at the novel target, under the shots' label, and two at the free one. Shots and novel targets have three
    positives each, and four others at right angles; base images and free targets one, and six."""
    made: Any = object.__new__(OrCo)
    made.context, made.session = SimpleNamespace(sessions=Sessions(base=1, way=1, count=2, shots=1)), 1
    made.model = SimpleNamespace(head=ProjectedHead(3, torch.nn.Identity(), AXES))
    features = torch.tensor([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]]).repeat(2, 1)
    made.mbatch, made.now = [None, torch.tensor([0, 1, 0, 1])], SimpleNamespace(features=features)
    made.config = OrCo.Config(epsilon=0.0, temperature=1.0)
    pulled, apart = 0.5 * math.log(1 + 1 / math.e), math.log(math.e + 2)
    contrast = (math.log(3 + 4 / math.e) + math.log(1 + 6 / math.e)) / 2
    assert float(made.session_loss()) == pytest.approx(pulled + apart + contrast)


def test_novel_images_count_alike_however_many_base_images_stand_beside_them() -> None:
    """As in the released code: a mean over the novel images and one over the others, each with its weight; a group may be empty."""
    logits, labels = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [2.0, 0.0]]), torch.tensor([0, 0, 0, 1])
    base, novel = (math.log(2) + 2 * math.log(1 + math.e)) / 3, math.log(1 + math.exp(2))
    assert float(pulled_by_groups(logits, labels, 1, 0.5, 0.25)) == pytest.approx(0.5 * novel + 0.25 * base)
    assert float(pulled_by_groups(logits[:3], labels[:3], 1, 0.5, 0.25)) == pytest.approx(0.25 * base)


def test_a_session_keeps_five_images_a_base_class_and_all_shots(enter: Enter) -> None:
    contender = enter("orco", "epochs=2")
    s: Any = contender.strategy
    first = {name: value.clone() for name, value in s.model.head.project.state_dict().items()}
    for session, kept in enumerate((30, 40, 50)):
        targets = s.model.head.targets.clone()
        contender.train(session, 0)
        assert len(contender.memory.indices) == kept
        seen = s.context.sessions.span(session).start
        assert torch.equal(s.model.head.targets[:seen], targets[:seen])
        assert sorted(s.model.head.targets[:, 0].tolist()) == sorted(targets[:, 0].tolist()), "one order of the same targets"
    assert contender.budget == 50
    assert all(torch.equal(value, first[name]) for name, value in s.first_projector.items())
    assert not torch.equal(s.model.head.project[0].weight, first["0.weight"])
    assert len(contender.test(2).predictions) > 0


def test_a_session_begins_with_the_bases_projector_and_shows_each_image_twice(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """All shots so far, and five images of each base class: ten times an epoch each class, as there are five of it."""
    contender = enter("orco", "epochs=1")
    s: Any = contender.strategy
    first = {name: value.clone() for name, value in s.model.head.project.state_dict().items()}
    begun: list[bool] = []
    shown: list[int] = []

    def before_epoch(epoch: int) -> None:
        begun.append(all(torch.equal(value, first[name]) for name, value in s.model.head.project.state_dict().items()))

    s.before_epoch = before_epoch
    before_loss(monkeypatch, OrCo, lambda strategy: shown.extend(strategy.mb_y.tolist()))
    for session, classes in ((0, 0), (1, 8), (2, 10)):
        shown.clear()
        contender.train(session, 0)
        assert sorted(shown) == [label for label in range(classes) for _ in range(2 * 5)]
    assert begun == [True, True], "and not with what the session before made of it"
    assert not torch.equal(s.model.head.project[0].weight, first["0.weight"])
