"""S3C's joint labels, stochastic rows and losses by hand, and what its sessions train and keep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from methods.bases.rotations import TURNED, Rotations, StochasticHead
from methods.parts.attention import Attention, dropped
from methods.s3c import S3c
from tests.methods.by_hand import step_of
from tests.methods.conftest import Enter


def head_of(classes: int = 2, d: int = 2) -> StochasticHead:
    torch.manual_seed(0)
    head = StochasticHead(d, 16.0, Attention(d))
    head.attention.forward = lambda x, drawn=(): x  # type: ignore[method-assign]
    head.grow(classes)
    return head


def test_an_images_turns_follow_each_other_with_labels_4c_and_k() -> None:
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    turned = TURNED.shown(images)
    assert TURNED.joint_labels(torch.tensor([2, 0])).tolist() == [8, 9, 10, 11, 0, 1, 2, 3]
    assert torch.equal(turned[0], images[0]) and torch.equal(turned[4], images[1])
    assert turned[1].flatten().tolist() == [1, 3, 0, 2], "a quarter turn against the clock"


def test_joint_logits_by_hand_with_and_without_noise() -> None:
    """Column 4c + k; sigma 0 gives a spread of softplus(-4) = .0181."""
    head, x = head_of(), torch.tensor([[3.0, 4.0]])
    rows = torch.stack([head.weight[0], *head.turned[0], head.weight[1], *head.turned[1]])
    assert torch.allclose(head.joint(x), 16 * F.cosine_similarity(x, rows)[None])
    noise = torch.ones(2, 4, 2)
    assert torch.allclose(head.joint(x, noise), 16 * F.cosine_similarity(x, rows + 0.01814993)[None], atol=1e-4)
    assert torch.equal(head(x), head.joint(x)[:, [0, 4]]), "an image as it is, against upright classes"


def test_growth_leaves_old_classes() -> None:
    head = head_of()
    before = [tensor.detach().clone() for tensor in head.class_tensors()]
    head.grow(3)
    assert all(len(now) == 3 and torch.equal(now[:2], old) for now, old in zip(head.class_tensors(), before, strict=True))
    assert not head.sigma.any()


def test_the_base_draws_its_rows_once_a_step() -> None:
    """The same generator, the same loss; the loss is the cross-entropy over joint labels of the noisy rows."""
    kind, head = Rotations(Rotations.Config()), head_of()
    network: Any = SimpleNamespace(head=head, embed=lambda images: images)
    x, labels = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.tensor([5, 2])
    found = kind.loss(network, [x], labels, step_of(kind, network, [x], seed=3))
    noise = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(found, F.cross_entropy(head.joint(x, noise), labels))
    still = Rotations(Rotations.Config(stochastic=False))
    assert torch.allclose(still.loss(network, [x], labels, step_of(still, network, [x])), F.cross_entropy(head.joint(x), labels))


def test_weights_and_output_are_dropped_apart_where_there_are_as_many_tokens_as_features() -> None:
    attention, x = Attention(3), torch.randn(2, 3, 3)
    drawn = attention.draw(2, 3, torch.Generator().manual_seed(0))
    assert [one.shape for one in drawn] == [(2, 3, 3)] * 2
    assert not torch.equal(*drawn) and attention(x, drawn).shape == x.shape


def test_dropout_is_drawn_from_the_generator_alone() -> None:
    """Or a base session that is interrupted, or trained beside others, would be another one."""
    torch.manual_seed(0)
    attention, x = Attention(3), torch.randn(50, 1, 3)
    one, other = (attention(x, attention.draw(50, 1, torch.Generator().manual_seed(5))) for _ in range(2))
    assert torch.equal(one, other) and not torch.equal(one, attention(x))
    assert torch.equal(attention(x), attention.eval()(x)), "a mode changes nothing"
    kept = dropped(torch.ones(2000), 0.5, torch.rand(2000))
    assert set(kept.tolist()) == {0.0, 2.0} and 0.9 < float(kept.mean()) < 1.1


def test_attention_of_one_token_is_its_value() -> None:
    """The softmax over one token is 1, whatever query and key are."""
    torch.manual_seed(0)
    attention, x = Attention(3).eval(), torch.randn(5, 1, 3)
    assert torch.allclose(attention(x), F.layer_norm(x + attention.out(attention.value(x)), (3,)), atol=1e-6)


def learner(**changes: Any) -> Any:
    made: Any = object.__new__(S3c)
    made.config, made.model = S3c.Config(noise=False, **changes), SimpleNamespace(head=head_of(3), feature_dim=2)
    made.stored = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    return made


def test_stored_means_have_the_label_of_the_upright_class() -> None:
    """One shot of class 2 in four turns, and stored means of classes 0 and 1 under labels 0 and 4, five times."""
    made = learner()
    made.mbatch = [torch.randn(1, 8), torch.tensor([2])]
    made.mb_output = made.forward()
    joint = made.model.head.joint
    shots = F.cross_entropy(joint(made.mb_x.view(4, 2)), torch.tensor([8, 9, 10, 11]))
    assert torch.allclose(made.session_loss(), shots + 5 * F.cross_entropy(joint(made.stored), torch.tensor([0, 4])))


def test_a_session_draws_noise_of_rows_and_dropout_of_the_shots() -> None:
    """From torch's own generator: noise of every row, then what the attention drops of weights and output. Stored means come after the
    attention, and keep all they have. `noise: false` leaves the dropout."""
    made = learner()
    head = made.model.head = StochasticHead(3, 16.0, Attention(3))
    head.grow(3)
    made.stored = torch.eye(3)[:2]
    made.mbatch = [torch.randn(5, 12), torch.zeros(5)]
    for stochastic in (True, False):
        made.config = S3c.Config(noise=stochastic)
        torch.manual_seed(7)
        found = made.forward()
        torch.manual_seed(7)
        noise = torch.randn(3, 4, 3) if stochastic else torch.zeros(3, 4, 3)
        drawn = [torch.rand(20, 1, 1), torch.rand(20, 1, 3)]
        x = made.mb_x.view(20, 3)
        values = head.attention.out(head.attention.value(x) * (drawn[0] >= 0.1)[:, 0] / 0.9) * (drawn[1] >= 0.5)[:, 0] / 0.5
        shots = F.layer_norm(x + values, (3,))
        rows = (head.means() + 0.01814993 * noise).flatten(0, 1)
        expected = 16 * F.cosine_similarity(torch.cat([shots, made.stored])[:, None], rows, dim=2)
        assert torch.allclose(found, expected, atol=1e-3)


def test_an_image_is_scored_by_its_turns_each_in_its_own_columns() -> None:
    made, x = learner(), torch.randn(3, 8)
    joint = made.model.head.joint(x.view(12, 2)).view(3, 4, 12)
    expected = sum(joint[:, k, k::4] for k in range(4)) / 4
    assert torch.allclose(made.scores(x), expected)


def test_a_session_trains_the_head_alone_and_stores_upright_means(enter: Enter) -> None:
    contender = enter("s3c", "epochs=2")
    s: Any = contender.strategy
    trained = s.model.head.weight.detach().clone()
    contender.train(0, 0)
    assert torch.equal(s.model.head.weight, trained), "base rows stay the trained ones, no means"
    assert s.stored.shape == (6, s.model.feature_dim)
    backbone = {name: value.clone() for name, value in s.model.state_dict().items() if "backbone" in name or "attention" in name}
    begun: list[torch.Tensor] = []
    s.before_epoch = lambda epoch: begun.append(s.model.head.turned.detach().clone())
    contender.train(1, 0)
    own = torch.from_numpy(contender.seed_context.split.train[1])
    labels = contender.images.labels(own)
    upright = s.model.head.attended(s.model.embed(contender.images.plain(own[labels == 7])))
    assert torch.allclose(s.stored[7], upright.mean(0), atol=1e-5)
    left = s.model.head.attended(s.model.embed(contender.images.plain(own[labels == 7]).rot90(1, (2, 3))))
    assert torch.allclose(begun[0][7, 0], left.mean(0), atol=1e-5), "new means start at those of the shots' turns"
    assert all(torch.equal(value, backbone[name]) for name, value in s.model.state_dict().items() if name in backbone)
    assert s.model.head.sigma.any() and not torch.equal(s.model.head.weight[:6], trained)


def test_a_base_without_rotations_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="a class weight for each rotation"):
        enter("s3c@linear")
