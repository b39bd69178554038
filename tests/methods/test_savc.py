"""SAVC's fantasy classes, queue and contrast by hand, and what its base and its sessions keep."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.base.network import build_network
from benchmarks.planning.plan import identities, make_request
from benchmarks.system.errors import UsageError
from methods.bases.savc import Savc, rows_met
from methods.parts.fantasies import FantasyHead, Transforms
from methods.parts.heads import unit
from methods.parts.keys import drawn_to_keys
from protocols.schema import Augment, Protocol
from tests.methods.by_hand import rows_of, step_of
from tests.methods.conftest import Enter

SMALL = {"width": 4, "queue": 6, "local_crops": 1, "local_side": 4}


def test_an_image_is_shown_under_every_transform_with_labels_mc_and_k() -> None:
    """Half-turns of two images; twelve different ones of turns and orders of colours."""
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    two, twelve = Transforms(2, 1), Transforms(4, 3)
    assert two.joint_labels(torch.tensor([3, 0])).tolist() == [6, 7, 0, 1]
    assert two.shown(images).flatten(1).tolist() == [[0, 1, 2, 3], [3, 2, 1, 0], [4, 5, 6, 7], [7, 6, 5, 4]]
    colour = torch.arange(12.0).reshape(1, 3, 2, 2)
    shown = twelve.shown(colour)
    assert len({tuple(one.flatten().tolist()) for one in shown}) == len(twelve) == 12
    assert torch.equal(shown[0], colour[0]) and torch.equal(shown[1], colour[0, [1, 2, 0]]) and torch.equal(shown[2], colour[0, [2, 0, 1]])
    assert torch.equal(shown[3], colour[0].rot90(1, (1, 2)))
    with pytest.raises(ValueError, match="3 channel_orders need as many channels, and the images have 1"):
        twelve.shown(images)


def test_joint_logits_and_those_of_images_as_they_are() -> None:
    torch.manual_seed(0)
    head, x = FantasyHead(2, 16.0, Transforms(2, 1)), torch.tensor([[3.0, 4.0]])
    head.grow(2)
    rows = torch.stack([head.weight[0], head.others[0, 0], head.weight[1], head.others[1, 0]])
    assert torch.allclose(head.joint(x), 16 * F.cosine_similarity(x, rows)[None])
    assert torch.equal(head(x), head.joint(x)[:, [0, 2]])
    before = [tensor.detach().clone() for tensor in head.class_tensors()]
    head.grow(3)
    assert all(len(now) == 3 and torch.equal(now[:2], old) for now, old in zip(head.class_tensors(), before, strict=True))


def test_every_positive_has_a_term_with_all_negatives() -> None:
    """Temperature 1: the own key at cosine 1, a positive of the queue at 0, negatives at -1 and 0."""
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    queue, same = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [0.0, 1.0]]), torch.tensor([[True, False, False]])
    against = math.exp(-1) + 1
    expected = (math.log(1 + against * math.exp(-1)) + math.log(1 + against)) / 2
    assert drawn_to_keys(x, x.detach(), queue, same, 1.0).item() == pytest.approx(expected)
    alone = drawn_to_keys(x, x.detach(), queue, torch.ones_like(same), 1.0)
    alone.backward()
    assert alone.item() == 0 and x.grad is not None and not x.grad.any(), "without a negative there is nothing to learn"


def test_a_small_crop_meets_the_key_of_its_own_transform() -> None:
    """Two images, two transforms, four crops, in the order (crop, image, transform). Released: an image's first two crops meet the key of
    transform 0 under both of theirs, the other two that of transform 1."""
    assert rows_met(4, 4, 2, False, torch.device("cpu")).tolist() == [0, 1, 2, 3] * 4
    assert rows_met(4, 4, 2, True, torch.device("cpu")).tolist() == [0, 0, 2, 2, 0, 0, 2, 2, 1, 1, 3, 3, 1, 1, 3, 3]


def keys_of(tiny: Protocol, **changes: Any) -> tuple[Savc, Any, Any]:
    kind = Savc(Savc.Config(**SMALL | changes))
    network = build_network(tiny, kind, "fp32", 0, None, 1.0)
    return kind, network, network.parts["key_network"]


def test_the_queue_drops_its_oldest_keys_and_random_vectors_are_nobodys(tiny: Protocol) -> None:
    _, _, keys = keys_of(tiny)
    drawn, new = keys.queue.clone(), torch.eye(4)
    assert torch.allclose(keys.queue.norm(dim=1), torch.ones(6)) and keys.labels.tolist() == [-1] * 6
    place = keys.queue.data_ptr()
    keys.add(new[:2], torch.tensor([5, 7]))
    keys.add(new[2:], torch.tensor([1, 0]))
    assert keys.labels.tolist() == [1, 0, 5, 7, -1, -1]
    assert torch.equal(keys.queue, torch.cat([new[2:], new[:2], drawn[:2]]))
    assert keys.queue.data_ptr() == place, "a recorded step finds it where it was"


def test_the_key_network_follows_slowly_and_has_no_gradient(tiny: Protocol) -> None:
    kind, network, keys = keys_of(tiny, key_momentum=0.75)
    assert all(map(torch.equal, keys.network.backbone.parameters(), network.backbone.parameters()))
    given = {id(p) for group in kind.groups(network) for p in group["params"]}
    assert given == {id(p) for p in network.parameters() if p.requires_grad} and not any(p.requires_grad for p in keys.parameters())
    first, last = (next(network.backbone.parameters()), network.parts["projector"][-1].bias)
    with torch.no_grad():
        first += 4.0
        last += 4.0
    before = next(keys.network.backbone.parameters()).clone(), keys.project[-1].bias.clone()
    kind.after_update(network)
    assert torch.allclose(next(keys.network.backbone.parameters()), before[0] + 1)
    assert torch.allclose(keys.project[-1].bias, before[1] + 1)


def test_the_loss_by_its_parts(tiny: Protocol) -> None:
    """Evaluation mode, so that a batch can be passed in parts. Keys of this step come into the queue after it, under joint labels."""
    torch.manual_seed(1)
    views = [torch.randn(2, 1, side, side) for side in (8, 8, 8, 4)]
    losses = []
    for weights in (
        {"global_weight": 0.0, "local_weight": 0.0},
        {"global_weight": 1.0, "local_weight": 0.0},
        {"global_weight": 0.0, "local_weight": 1.0},
    ):
        kind, network, keys = keys_of(tiny, **weights)
        network.eval()
        queue = keys.queue.clone()
        shown, labels = kind.expand(views, torch.tensor([2, 0]))
        assert labels.tolist() == [4, 5, 0, 1]
        losses.append(kind.loss(network, shown, labels, step_of(kind, network, shown)).item())
    classified, query, key, small = (network.embed(view) for view in shown)
    met, none = unit(keys.project(key)), torch.zeros(4, 6, dtype=torch.bool)
    of = [drawn_to_keys(unit(network.parts["projector"](x)), met, queue, none, 0.07) for x in (query, small)]
    assert losses[0] == pytest.approx(F.cross_entropy(network.head.joint(classified), labels).item(), rel=1e-5)
    assert losses[1] - losses[0] == pytest.approx(of[0].item(), rel=1e-4)
    assert losses[2] - losses[0] == pytest.approx(of[1].item(), rel=1e-4)
    assert torch.allclose(keys.queue, torch.cat([met, queue[:2]]), atol=1e-5) and keys.labels.tolist() == [4, 5, 0, 1, -1, -1]


def test_views_are_two_large_crops_and_small_ones_in_their_own_colours() -> None:
    own = Augment(pad=4, flip=True)
    large, key, *small = Savc(Savc.Config()).other_views(own)
    assert large == key == (Augment(flip=True, scale=(0.9, 1.0)), None)
    assert small == [(Augment(flip=True, scale=(0.2, 0.7)), 18)] * 4
    coloured = Savc(Savc.Config(crops=Augment(jitter=0.4))).other_views(own)
    assert all(view.jitter == 0.4 and not view.flip and not view.pad for view, _ in coloured)


def test_rows_are_means_of_every_class_under_every_transform(enter: Enter) -> None:
    """Base rows, too, from session 0 on; an image is scored under each transform by the rows of that transform."""
    contender = enter("savc")
    s: Any = contender.strategy
    assert not {"key_network", "projector"} & set(s.model.parts), "base training alone needs them"
    trained = s.model.head.others.detach().clone()
    contender.train(0, 0)
    assert not torch.allclose(s.model.head.others, trained)
    kept = s.model.head.others.clone()
    contender.train(1, 0)
    assert torch.equal(s.model.head.others[:6], kept)
    images = contender.images.plain(rows_of(contender, 1, 7))
    as_it_is, turned = (s.model.embed(shown).mean(0) for shown in (images, images.rot90(2, (2, 3))))
    assert torch.allclose(s.model.head.weight[7], as_it_is, atol=1e-5) and torch.allclose(s.model.head.others[7, 0], turned, atol=1e-5)

    def cosines(shown: Tensor, rows: Tensor) -> Tensor:
        return 16 * unit(s.model.embed(shown)) @ unit(rows).T

    expected = (cosines(images, s.model.head.weight) + cosines(images.rot90(2, (2, 3)), s.model.head.others[:, 0])) / 2
    assert torch.allclose(s.scores(s.embed(images)), expected, atol=1e-4)


def test_crops_that_the_images_cannot_have_are_refused_before_anything_runs(tiny: Protocol) -> None:
    with pytest.raises(UsageError, match=r"tiny, base kind savc: augment\.hue needs data\.channels: 3"):
        identities(make_request(tiny, None, None, "0", "savc", ["@savc.crops={hue: 0.1}"]))


def test_a_base_without_fantasies_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="a row for each transform"):
        enter("savc@linear")
