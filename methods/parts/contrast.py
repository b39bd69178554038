"""Losses that compare vectors of one batch with each other (docs/modern.md 2.1, 2.3, 2.6; docs/methods.md 6.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.heads import unit


def contrast(similarities: Tensor, positives: Tensor, counted: Tensor) -> Tensor:
    """Mean over anchors, and over each one's positives p, of -log(exp(s_p) / sum over counted k of exp(s_k)).

    `similarities` [n, m] are those of anchors and keys, divided by the temperature; `positives` and `counted` [n, m] are boolean. An anchor
    without a positive does not count.
    """
    logs = similarities.masked_fill(~counted, -torch.inf).log_softmax(dim=1)
    positives = positives & counted
    number = positives.sum(dim=1)
    of_anchor = -logs.masked_fill(~positives, 0).sum(dim=1) / number.clamp(min=1)
    return of_anchor.sum() / (number > 0).sum().clamp(min=1)


def not_itself(count: int, device: torch.device) -> Tensor:
    """Boolean [count, count], False on the diagonal."""
    return ~torch.eye(count, dtype=torch.bool, device=device)


def between_views(vectors: Tensor, views: int, temperature: float) -> Tensor:
    """NT-Xent of unit vectors [views * B, d], view by view: the positives of an image are its other views (CLOSER's spread)."""
    image = torch.arange(len(vectors) // views, device=vectors.device).repeat(views)
    counted = not_itself(len(vectors), vectors.device)
    return contrast(vectors @ vectors.T / temperature, image[:, None] == image, counted)


def between_classes(vectors: Tensor, labels: Tensor) -> Tensor:
    """Mean cosine of all pairs of unit vectors [n, d] whose labels [n] differ; 0 if there is none."""
    differ = labels[:, None] != labels
    return ((vectors @ vectors.T) * differ).sum() / differ.sum().clamp(min=1)


def contrast_inside(similarities: Tensor, positives: Tensor, counted: Tensor) -> Tensor:
    """Like `contrast`, with each anchor's positives summed inside the logarithm: -log(sum over p of exp(s_p) / sum over counted k)."""
    positives = positives & counted
    whole = similarities.masked_fill(~counted, -torch.inf).logsumexp(dim=1)
    has = positives.any(dim=1)
    own = similarities.masked_fill(~positives & has[:, None], -torch.inf).logsumexp(dim=1)
    return ((whole - own) * has).sum() / has.sum().clamp(min=1)


def spread_out(means: Tensor, present: Tensor, targets: Tensor) -> Tensor:
    """Mean over i of log sum_j exp(cos_ij) over unit targets [n, d], in which the unit means [c, d] of classes with `present` [c] true
    replace the first c targets."""
    of_classes = torch.where(present[:, None], unit(means), targets[: len(means)])
    vectors = torch.cat([of_classes, targets[len(means) :]])
    return (vectors @ vectors.T).logsumexp(dim=1).mean()


def batch_means(vectors: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean of the vectors [n, d] of each class, [classes, d], and which classes have any, [classes]."""
    sums = vectors.new_zeros(classes, vectors.shape[1]).index_add(0, labels, vectors)
    counts = vectors.new_zeros(classes).index_add(0, labels, torch.ones_like(vectors[:, 0]))
    return sums / counts.clamp(min=1)[:, None], counts > 0
