"""Statistics of stored features: means and covariances of classes, and calibration by the base classes that they resemble."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.heads import unit


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """Mean feature of each class in `labels`, in ascending order of the labels: [classes, d] of features [n, d]."""
    return torch.stack([features[labels == label].mean(0) for label in labels.unique()])


def class_covariances(features: Tensor, labels: Tensor) -> Tensor:
    """Covariance of each class in `labels`, in ascending order: [classes, d, d] of features [n, d]. Unbiased; zeros for one image."""
    found = []
    for label in labels.unique():
        own = features[labels == label]
        centred = own - own.mean(0)
        found.append(centred.T @ centred / max(1, len(own) - 1))
    return torch.stack(found)


def likeness(means: Tensor, base_means: Tensor, temperature: float) -> Tensor:
    """How much each class [n, d] resembles each base class [b, d]: softmax of temperature * cosine, [n, b] (TEEN, eq. 5)."""
    return (temperature * unit(means) @ unit(base_means).T).softmax(dim=1)


def calibrated(means: Tensor, base_means: Tensor, share: float, temperature: float) -> Tensor:
    """Unit class means [n, d], drawn by `share` towards the unit mean of the base classes that they resemble (TEEN, eq. 4).

    Result: (1 - share) n(mean) + share n(sum_b w_b n(base mean of b)); docs/modern.md 2.7.
    """
    drawn_to = likeness(means, base_means, temperature) @ unit(base_means)
    return (1 - share) * unit(means) + share * unit(drawn_to)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Float [n, classes] with 1 at each label."""
    return torch.nn.functional.one_hot(labels, classes).to(torch.get_default_dtype())
