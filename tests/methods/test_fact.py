"""FACT's losses and its scores by hand, and what stays of the virtual classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.virtual import HIDDEN, Drawn, Virtual, VirtualClasses
from methods.fact import Fact
from methods.parts.backbone import Backbone, run
from methods.parts.backbones import build_backbone
from methods.parts.heads import CosineHead, unit
from methods.parts.mixing import beta, embed_changed, third_stage
from methods.parts.network import Network
from protocols.schema import Sessions
from tests.methods.conftest import Enter

BASE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SLOTS = torch.tensor([[-0.6, 0.8, 0.0], [-0.8, -0.6, 0.0]])
FIXED = torch.tensor([[-0.8, 0.6, 0.0], [-1.0, 0.0, 0.0]])
X = torch.tensor([[2.0, 0.0, 0.0]])
"""One image of class 0. Its cosines: 1 and 0 to the base rows, -.6 and -.8 to the trained slots, -.8 and -1 to the fixed ones."""


def network_of(allowed: Tensor) -> Any:
    head = CosineHead(3, scale=1.0, learns=False)
    head.weight = nn.Parameter(BASE)
    parts = {"virtual": Virtual(SLOTS), "drawn": Drawn(FIXED, allowed)}
    return SimpleNamespace(head=head, parts=parts, classify=head)


def test_the_virtual_loss_hides_the_true_class_and_acts_against_fixed_slots() -> None:
    """Class 0 may take slot 1 alone. Trap (b): the logit of slot 0 becomes 0, which is more than -1, so slot 0 wins."""
    network, labels = network_of(torch.tensor([[0.0, 1.0], [1.0, 1.0]])), torch.tensor([0])
    of_source, strict = (VirtualClasses(VirtualClasses.Config(scale=1.0, forbidden=how)) for how in ("zero", "hidden"))
    logits = torch.tensor([[HIDDEN, 0.0, -0.8, -1.0]])
    for kind, slot in ((of_source, 2), (strict, 3)):
        loss = kind.virtual_loss(network, X, labels)
        assert torch.allclose(loss, F.cross_entropy(logits, torch.tensor([slot])))
    trained = VirtualClasses(VirtualClasses.Config(scale=1.0, forbidden="hidden", fixed_slots=False)).virtual_loss(network, X, labels)
    assert torch.allclose(trained, F.cross_entropy(torch.tensor([[HIDDEN, 0.0, -0.6, -0.8]]), torch.tensor([3])))


def test_the_temperature_is_a_factor_of_16_for_classes_and_slots() -> None:
    """docs/methods.md 6.3: all losses are over 16 cos. Base rows (0, 2) and (1, 0), slots (1, 0) and (0, -1), feature (3, 4)."""
    network: Any = SimpleNamespace(feature_dim=2, parts={}, backbone=build_backbone("conv2", 1))
    kind = VirtualClasses(VirtualClasses.Config())
    kind.build(network, Sessions(base=2, way=1, count=2, shots=1))
    network.classify = network.head
    network.head.weight.data[:] = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    network.parts["virtual"].rows.data[:] = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    assert float(network.head.scale) == 16 and [name for name, _ in network.head.named_parameters()] == ["weight"]
    base, slots = kind.columns(network, torch.tensor([[3.0, 4.0]]), fixed=False)
    assert torch.allclose(base, 16 * torch.tensor([[0.8, 0.6]])) and torch.allclose(slots, 16 * torch.tensor([[0.6, -0.8]]))


def test_fixed_slots_are_the_trained_ones_as_they_were_drawn() -> None:
    """Trap (c): on a GPU, where the source trains, its second classifier is a copy of the first one's rows."""
    network: Any = SimpleNamespace(feature_dim=8, parts={}, backbone=build_backbone("conv2", 1))
    VirtualClasses(VirtualClasses.Config()).build(network, Sessions(base=4, way=1, count=2, shots=1))
    fixed, trained = network.parts["drawn"].rows, network.parts["virtual"].rows
    assert torch.equal(fixed, trained) and fixed.data_ptr() != trained.data_ptr()
    assert torch.allclose(torch.cat([network.head.weight, trained]) @ fixed.T, torch.eye(6)[:, 4:], atol=1e-6)


def test_the_mixture_asks_for_its_best_slot_and_then_for_its_best_class() -> None:
    """The first counts, the second does not, being of one class."""
    kind, network = VirtualClasses(VirtualClasses.Config(scale=1.0)), network_of(torch.ones(2, 2))
    loss = kind.mixture_loss(network, torch.cat([X, -X]), torch.tensor([True, False]))
    third = F.cross_entropy(torch.tensor([[1.0, 0.0, -0.6, -0.8]]), torch.tensor([2]))
    fourth = F.cross_entropy(torch.tensor([[1.0, 0.0, HIDDEN, -0.8]]), torch.tensor([0]))
    assert torch.allclose(loss, third + fourth)
    assert kind.mixture_loss(network, X, torch.tensor([False])).item() == 0


@pytest.mark.parametrize(("name", "layer"), [("resnet20", "stages.2.0"), ("resnet18", "net.layer3.0"), ("resnet12", "stages.2")])
def test_maps_are_mixed_after_the_second_stage(name: str, layer: str) -> None:
    backbone = build_backbone(name, 3)
    assert third_stage(backbone) is backbone.get_submodule(layer)


class Residual(nn.Module):
    """Has a branch and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Own(Backbone):
    """A user's network."""

    feature_dim = 1

    def __init__(self, block: nn.Module, inside: bool = False) -> None:
        super().__init__()
        self.block, self.inside = block, inside

    @property
    def last_block(self) -> nn.Module:
        return self.block

    def lower(self, images: Tensor) -> Tensor:
        return images

    def upper(self, x: Tensor) -> Tensor:
        return run(self.block.children(), x) if self.inside else self.block(x)


@pytest.mark.parametrize("block", [Residual(), nn.Conv2d(1, 1, 1), nn.Sequential(Residual(), nn.ReLU())])
def test_all_branches_of_an_own_last_block_get_the_mixture(block: nn.Module) -> None:
    """Only the convolution got it, not the shortcut beside it; a block that is one layer ended in a bare StopIteration."""
    network, images = Network(Own(block), "fp32").eval(), torch.randn(3, 1, 4, 4)
    assert torch.equal(embed_changed(network, images, lambda maps: 0.5 * maps), network.embed(0.5 * images))


def test_an_own_network_without_a_place_to_mix_is_told_so() -> None:
    with pytest.raises(ValueError, match="that of this network is empty"):
        third_stage(Own(nn.Sequential()))
    assert isinstance(third_stage(Own(nn.ModuleList([nn.ReLU()]))), nn.ReLU), "a list is never called itself"
    with pytest.raises(ValueError, match="that of this network is empty"):
        VirtualClasses(VirtualClasses.Config(start=9)).build(
            Network(Own(nn.Sequential()), "fp32"), Sessions(base=4, way=1, count=2, shots=1)
        )
    network = Network(Own(Residual(), inside=True), "fp32")
    with pytest.raises(ValueError, match="this network never calls it as a whole"):
        embed_changed(network, torch.randn(3, 1, 4, 4), lambda maps: maps)


def test_an_unchanged_map_changes_nothing_and_the_hook_is_gone() -> None:
    network, images = Network(build_backbone("conv2", 1), "fp32").eval(), torch.randn(3, 1, 8, 8)
    plain = network.embed(images)
    assert torch.equal(embed_changed(network, images, lambda maps: maps), plain)
    assert not torch.allclose(embed_changed(network, images, lambda maps: 0.5 * maps), plain)
    assert torch.equal(network.embed(images), plain)
    assert (beta(0.5, 100, torch.Generator()) <= 1).all()


def learner(session: int = 1, **changes: Any) -> Any:
    made: Any = object.__new__(Fact)
    made.config, made.session = Fact.Config(**changes), session
    made.model = SimpleNamespace(head=SimpleNamespace(weight=2 * BASE), parts={"virtual": Virtual(3 * SLOTS)})
    return made


def test_scores_by_hand() -> None:
    """One nearest slot, the first (-.6 against -.8). Cosines of the slots to the rows: (-.6, .8); v = -.6 * that, without a temperature."""
    through = -0.6 * torch.tensor([[-0.6, 0.8]])
    expected = 0.9 * torch.tensor([[16.0, 0.0]]).softmax(1) + 0.1 * through.softmax(1)
    assert torch.allclose(learner(nearest=1, unit_along="features").scores(X), expected)
    both = through + -0.8 * torch.tensor([[-0.8, -0.6]])
    expected = 0.5 * torch.tensor([[16.0, 0.0]]).softmax(1) + 0.5 * both.softmax(1)
    assert torch.allclose(learner(eta=0.5, unit_along="features").scores(X), expected)
    assert torch.allclose(learner(0).scores(X), torch.tensor([[1.0, 0.0]])), "session 0 is plain cosine"


def test_the_released_code_normalises_along_the_classes() -> None:
    made = learner(eta=1.0)
    made.model.head.weight = torch.tensor([[3.0, 1.0, 0.0], [4.0, 0.0, 2.0]])
    columns = torch.tensor([[0.6, 1.0, 0.0], [0.8, 0.0, 1.0]])
    expected = (unit(X) @ SLOTS.T @ SLOTS @ columns.T).softmax(1)
    assert torch.allclose(made.scores(X), expected)


def test_session_0_is_the_head_that_goes_on_and_virtual_rows_stay(enter: Enter) -> None:
    """Trap (a): the trained rows are not scored. Trap (d): sessions do not overwrite virtual rows; the drawn ones are gone."""
    fact, proto = enter("fact"), enter("proto@virtual")
    for contender in (fact, proto):
        contender.train(0, 0)
    assert np.array_equal(fact.test(0).predictions, proto.test(0).predictions)
    s: Any = fact.strategy
    rows = s.model.parts["virtual"].rows.detach().clone()
    assert list(s.model.parts) == ["virtual"] and rows.shape == (4, s.model.feature_dim)
    assert not torch.allclose(rows @ rows.T, torch.eye(4), atol=1e-6), "they were trained"
    for session in (1, 2):
        fact.train(session, 0)
    assert torch.equal(s.model.parts["virtual"].rows, rows)
    assert VirtualClasses.knows_all_classes and VirtualClasses.added == ("virtual",)


def test_a_base_without_virtual_classes_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="its base must have virtual classes"):
        enter("fact@linear")
