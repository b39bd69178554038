"""Base model of FACT: room for classes to come is held by virtual ones (Zhou et al., CVPR 2022; docs/methods.md 6.3)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.heads import CosineHead, unit
from methods.parts.mixing import beta, embed_changed, third_stage
from methods.parts.network import Network
from protocols.fields import MOST_EPOCHS
from protocols.schema import Sessions

HIDDEN = -1e9  # logit of a column that is masked out, as in the source


class Virtual(nn.Module):
    """`rows` [v, d] are trained virtual prototypes, one for each class to come."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)


class Drawn(nn.Module):
    """Drawn once: `rows` [v, d], against which the virtual loss of a plain image acts, and `allowed` [base, v], the slots of each class."""

    rows: Tensor
    allowed: Tensor

    def __init__(self, rows: Tensor, allowed: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("allowed", allowed)


class VirtualClasses(BaseKind):
    """L1 + weight * (L2 + L3 + L4) over scale * cos. L1 is the cross-entropy over base classes. L2 hides the true class and asks for the
    best virtual slot that it is allowed. Two images of different classes are mixed after the second stage: L3 asks for the mixture's
    best virtual slot, L4 hides that and asks for its best base class.

    L2's virtual columns stay as drawn, those of L3 and L4 train from there (`fixed_slots: false`: trained in both). `forbidden: zero`
    multiplies the logits of slots that are not allowed by 0, so that one of them wins where all others are negative, as in the source.
    The source embeds plain images once more for their gradient's sake, which moves batch norm twice; not done here.
    """

    version = 3
    knows_all_classes = True
    added = ("virtual",)
    drop = ("drawn",)

    class Config(KindConfig):
        scale: float = Field(16.0, gt=0)
        weight: float = Field(0.001, ge=0)  # lambda; .01 on CUB-200 and miniImageNet
        alpha: float = Field(0.5, gt=0)  # of Beta; 2 on CUB-200
        start: int = Field(0, ge=0, le=MOST_EPOCHS)  # epoch from which L2 to L4 count: 150 on miniImageNet
        classes_a_slot: int = Field(3, ge=1, le=1000)
        fixed_slots: bool = True
        forbidden: Literal["zero", "hidden"] = "zero"

    @property
    def changes_images(self) -> bool:
        return True  # in whatever epoch: the maps that are mixed lie inside the backbone

    def build(self, network: Network, sessions: Sessions) -> None:
        network.head = CosineHead(network.feature_dim, scale=self.config.scale, learns=False)
        base, slots = sessions.base, sessions.classes - sessions.base
        if slots:
            third_stage(network.backbone)  # refuses a network without one before it is trained
        rows = nn.init.orthogonal_(torch.empty(sessions.classes, network.feature_dim))
        chosen = torch.stack([torch.randperm(base)[: self.config.classes_a_slot] for _ in range(slots)]) if slots else torch.empty(0, 1)
        allowed = torch.zeros(base, slots)
        for slot, classes in enumerate(chosen):
            allowed[classes, slot] = 1
        network.head.grow(base)
        network.head.weight.data[:] = rows[:base]
        network.parts["virtual"], network.parts["drawn"] = Virtual(rows[base:].clone()), Drawn(rows[base:].clone(), allowed)

    def class_rows(self, network: Network) -> list[Tensor]:
        return [network.head.weight, network.parts["virtual"].rows]

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        """An order of the batch and the share of each image in its mixture; nothing while L1 acts alone."""
        if step.epoch < self.config.start or not network.parts["virtual"].rows.numel():  # type: ignore[operator]
            return []
        return [torch.randperm(shape[0], generator=step.generator), beta(self.config.alpha, 1, step.generator)]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c, images = self.config, views[0]
        features = network.embed(images)
        loss = F.cross_entropy(network.classify(features), labels)
        if not step.drawn:
            return loss + 0 * network.parts["virtual"].rows.sum()  # type: ignore[operator]
        plain = self.virtual_loss(network, features, labels)
        order, share = step.drawn
        mixed = embed_changed(network, images, lambda maps: (share * maps + (1 - share) * maps[order]).to(maps.dtype))
        return loss + c.weight * (plain + self.mixture_loss(network, mixed, labels != labels[order]))

    def columns(self, network: Network, features: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
        """Logits of the base classes [N, base], and of the virtual slots [N, v]."""
        part = network.parts["drawn" if fixed else "virtual"]
        return network.classify(features), network.head.scale * unit(features) @ unit(part.rows).T  # type: ignore[arg-type]

    def virtual_loss(self, network: Network, features: Tensor, labels: Tensor) -> Tensor:
        """L2."""
        base, slots = self.columns(network, features, self.config.fixed_slots)
        allowed: Tensor = network.parts["drawn"].allowed[labels]  # type: ignore[index]
        offered = slots * allowed if self.config.forbidden == "zero" else slots.masked_fill(allowed == 0, -torch.inf)
        logits = torch.cat([base.scatter(1, labels[:, None], HIDDEN), slots], dim=1)
        return F.cross_entropy(logits, base.shape[1] + offered.argmax(dim=1))

    def mixture_loss(self, network: Network, features: Tensor, counted: Tensor) -> Tensor:
        """L3 + L4, means over the mixtures that are `counted` [N]."""
        base, slots = self.columns(network, features, fixed=False)
        best, weights = slots.argmax(dim=1), counted / counted.sum().clamp(min=1)
        third = F.cross_entropy(torch.cat([base, slots], dim=1), base.shape[1] + best, reduction="none")
        without = torch.cat([base, slots.scatter(1, best[:, None], HIDDEN)], dim=1)
        fourth = F.cross_entropy(without, base.argmax(dim=1), reduction="none")
        return (weights * (third + fourth)).sum()
