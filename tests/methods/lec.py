"""LEC-Net on tensors small enough to write out: D nodes, 3 base classes, two classes a session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from methods.bases.projected import Projected
from methods.lecnet import LecConfig, LecNet
from methods.parts.backbone import Backbone
from methods.parts.expansion import ExpandingHead
from methods.parts.heads import GrowingHead
from methods.parts.network import Network
from protocols.schema import Sessions

D = 4


class Maps(Backbone):
    """Its images are the maps [N, d, h, w] themselves, or features [N, d]."""

    def __init__(self, feature_dim: int = D) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def lower(self, images: Tensor) -> Tensor:
        return images

    def upper(self, x: Tensor) -> Tensor:
        return x


def network(backbone: Backbone | None = None, projected: bool = False) -> Network:
    """With the three base classes, the same every time."""
    torch.manual_seed(0)
    net = Network(backbone or Maps(), "fp32")
    if projected:
        Projected(Projected.Config()).build(net, Sessions(base=3, way=2, count=4, shots=5))
    net.head.grow(3)
    return net


def experience(session: int) -> SimpleNamespace:
    classes = [1 + 2 * session, 2 + 2 * session]
    return SimpleNamespace(
        current_experience=session, classes_in_this_experience=classes, classes_seen_so_far=list(range(max(classes) + 1))
    )


def adopted(backbone: Backbone | None = None, sessions: int = 0, head: GrowingHead | None = None, **config: Any) -> LecNet:
    """LEC-Net with just enough around it to compute its loss, after so many sessions whose branches are not small. `head`: the base's."""
    net = network(backbone)
    if head is not None:
        head.grow(3)
        net.head = head
    lec = LecNet.__new__(LecNet)
    lec.config, lec.model = LecConfig(**config), net
    lec.adopt(net)
    lec.right, lec.shown = torch.zeros((), dtype=torch.int64), 0
    for session in range(1, sessions + 1):
        grow(lec.head, session)
    return lec


def grow(head: ExpandingHead, session: int) -> None:
    """Close the session before, and open this one with a branch that is not small."""
    if session > 1:
        head.store_gate()
    head.train().adaptation(experience(session))
    for branch in head.branches[-1:]:
        torch.nn.init.normal_(branch)
    head.projection.weight.data.normal_()
    head(torch.randn(5, head.projection.in_features))


def loss_of(lec: LecNet, logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
    """The session's loss, where network and teacher give these logits."""
    lec.mbatch, lec.mb_output = [torch.empty(0), labels], logits
    lec.now = SimpleNamespace(features=torch.empty(0), teacher=SimpleNamespace(classify=lambda features: teacher))
    return lec.session_loss()


def part(head: ExpandingHead, session: int) -> Any:
    """The classifier of a session's classes."""
    return head.heads[session]
