"""Base model of OrCo: its projector is drawn to targets that lie far apart (Ahmed et al., CVPR 2024; docs/modern.md 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from pydantic import Field
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from methods.bases.contrast import left_by_contrast
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.contrast import batch_means, contrast, not_itself, spread_out
from methods.parts.heads import unit
from methods.parts.network import Network
from methods.parts.projected import ProjectedHead, all_but_rows
from protocols.schema import Sessions


class Targets(BaseKind):
    """Goes on with kind `contrast`. Of unit vectors for all classes, which repel each other, the base classes get those that fit their
    running means best. Then the projector trains in evaluation mode, and the backbone with it where `backbone` says so: cross-entropy of
    cosines to the base targets + spread of the targets, with the batch's class means in place of theirs + contrast, with as many anchors
    at free targets as the batch has images."""

    version = 3
    parent = "contrast"
    views = 2
    knows_all_classes = True

    class Config(KindConfig):
        number: int | None = Field(None, ge=2, le=100_000)  # of targets: None is one a class; 256 on CUB-200
        steps: int = Field(1000, ge=1, le=1_000_000)  # in which targets repel each other; 5,000 on CUB-200
        epsilon: float = Field(1e-2, ge=0, le=2)  # width of the noise on targets that are anchors: 9e-5 on CIFAR-100
        temperature: float = Field(0.07, gt=0)
        backbone: bool = False  # CUB-200

    def build(self, network: Network, sessions: Sessions) -> None:
        d, seed = network.feature_dim, int(torch.randint(2**31, ()))
        project, means = left_by_contrast(network, sessions)
        targets = repelled(self.config.number or sessions.classes, project[-1].out_features, self.config.steps, seed)
        if len(targets) < sessions.classes:
            raise ValueError(f"base kind targets: {sessions.classes} classes need as many targets, and targets.number is {len(targets)}")
        with torch.no_grad():
            order = assigned(unit(project(means)), targets, 0)
        network.head = ProjectedHead(d, project, targets[order])

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return all_but_rows(network) if self.config.backbone else [{"params": list(network.head.project.parameters())}]

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        free = len(network.head.targets) - len(network.head.weight)
        order = taken_in_turn(free, shape[0], step.generator)
        return [order, *(torch.rand(len(order), network.head.targets.shape[1], generator=step.generator) for _ in range(self.views))]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c, head = self.config, network.head
        network.eval()
        with torch.set_grad_enabled(c.backbone):
            features = network.embed(torch.cat(views))
        x, base = unit(head.project(features)), len(head.weight)
        everywhere = labels.repeat(len(views))
        pulled = F.cross_entropy(x @ head.targets[:base].T, everywhere)
        apart = spread_out(*batch_means(x[: len(labels)], labels, base), head.targets)
        order, *noise = step.drawn
        anchors = near(head.targets[base:][order], noise, c.epsilon)
        return pulled + apart + drawn_together(x, everywhere, anchors, (base + order).repeat(len(views)), c.temperature)


def taken_in_turn(number: int, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Which of so many targets a step takes as anchors, [count]: in random order, and from the beginning again where that is too short."""
    order = torch.randperm(number, generator=generator)
    return order.repeat(-(-count // number))[:count] if number else order


def near(targets: Tensor, noise: Sequence[Tensor], epsilon: float) -> Tensor:
    """Unit vectors [views * n, width] near the targets [n, width]: moved by up to half of epsilon, for uniform noise in [0, 1)."""
    return torch.cat([unit(targets + epsilon * (one.to(targets) - 0.5)) for one in noise])


def drawn_together(x: Tensor, labels: Tensor, anchors: Tensor, anchor_labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of unit vectors [n, d] and unit anchors [m, d] under one set of labels."""
    everything, of = torch.cat([x, anchors]), torch.cat([labels, anchor_labels])
    return contrast(everything @ everything.T / temperature, of[:, None] == of, not_itself(len(of), of.device))


@cache
def repelled(number: int, width: int, steps: int, seed: int) -> Tensor:
    """`number` unit vectors of `width`, after `steps` of descent at rate 1 on the mean over i of log sum_j exp(t_i t_j); they are unit
    vectors again after each step. Gradients add up from step to step, as in the released code: without that, 1,000 steps end halfway."""
    rows = unit(torch.randn(number, width, generator=torch.Generator().manual_seed(seed)))
    total = torch.zeros_like(rows)
    for _ in range(steps):
        with torch.enable_grad():
            t = unit(rows.requires_grad_())
            [gradient] = torch.autograd.grad((t @ t.T).logsumexp(dim=1).mean(), [rows])
        total += gradient
        rows = unit(rows.detach() - total)
    return rows


def assigned(means: Tensor, targets: Tensor, first: int) -> Tensor:
    """An order of the targets [n, width] in which those from `first` on fit the unit class means [c, width] best (Hungarian method, by
    cosine), the free ones following; the targets before `first` keep their places."""
    fit = (means @ targets[first:].T).cpu().numpy()
    chosen = first + torch.from_numpy(linear_sum_assignment(-fit)[1])
    free = torch.ones(len(targets), dtype=torch.bool)
    free[:first] = False
    free[chosen] = False
    return torch.cat([torch.arange(first), chosen, free.nonzero()[:, 0]])
