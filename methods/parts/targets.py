"""Target vectors of classes: how they are found and given to classes, and how features are drawn to them (docs/methods.md 6.5;
docs/modern.md 2.3, 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from methods.parts.contrast import contrast, not_itself
from methods.parts.heads import unit


def simplex(classes: int, width: int) -> Tensor:
    """Unit vectors [classes, width] of a simplex equiangular tight frame: all cosines are -1 / (classes - 1). Directions are drawn from
    torch's global generator. Raises ValueError if there is no room for them."""
    if classes > width:
        raise ValueError(f"base kind etf: {classes} classes need a width of {classes} or more, and etf.width is {width}")
    frame, _ = torch.linalg.qr(torch.rand(width, classes))
    return F.normalize(frame - frame.mean(dim=1, keepdim=True), dim=0).T.contiguous()


def nearest_simplex(means: Tensor) -> Tensor:
    """Unit vectors [n, width], all at cosine -1 / (n - 1), nearest to the directions of the means [n, width]: with D, their unit vectors as
    centred columns, and D = W L V' (singular values L), sqrt(n / (n - 1)) W V' (I - 11'/n). Where n - 1 exceeds the width there is no
    simplex, and this is as near to one as the same steps come."""
    count, columns = len(means), unit(means).double().cpu().T
    w, _, v = torch.linalg.svd(columns - columns.mean(dim=1, keepdim=True), full_matrices=False)
    frame = F.normalize(w @ v, dim=0)
    centred = (count / max(count - 1, 1)) ** 0.5 * (frame - frame.mean(dim=1, keepdim=True))
    return unit(centred.T).to(means).contiguous()


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


def dot_regression(x: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Mean of (length * cos(x, target) - length)^2 / 2 over vectors [N, width]; lengths [N], 1 if not given."""
    off = (unit(x) * targets).sum(dim=1) - 1
    return 0.5 * (off if lengths is None else lengths * off).square().mean()
