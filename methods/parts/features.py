"""Statistics of stored features: means and covariances of classes, and calibration by the base classes that they resemble."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.heads import unit


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """Mean feature of each class in `labels`, in ascending order of the labels: [classes, d] of features [n, d]."""
    return torch.stack([features[labels == label].mean(0) for label in labels.unique()])


def class_spreads(features: Tensor, labels: Tensor) -> Tensor:
    """Standard deviation of each class in every dimension, in ascending order of the labels: [classes, d]; zeros for one vector."""
    own = (features[labels == label] for label in labels.unique())
    return torch.stack([vectors.std(dim=0, correction=min(1, len(vectors) - 1)) for vectors in own])


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


def powered(features: Tensor, power: float) -> Tensor:
    """Tukey's transformation of features [n, d], in double precision; their signs stay (FeCAM; docs/modern.md 2.7)."""
    return features.sign() * features.double().abs() ** power


def shrunk(covariances: Tensor, diagonal: float, off_diagonal: float) -> Tensor:
    """Covariances [n, d, d] with shares of their own averages added: of the mean variance on the diagonal, of the mean of the covariances
    that are not zero elsewhere (FeCAM; docs/modern.md 2.7)."""
    eye = torch.eye(covariances.shape[-1]).to(covariances)
    variance = covariances.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[:, None, None]
    others = covariances * (1 - eye)
    covariance = (others.sum(dim=(1, 2)) / (others != 0).sum(dim=(1, 2)).clamp(min=1))[:, None, None]
    return covariances + diagonal * variance * eye + off_diagonal * covariance * (1 - eye)


def row_covariances(matrices: Tensor) -> Tensor:
    """Covariances [n, d, d] between the rows of each matrix [n, d, d]; their `correlation` is what `torch.corrcoef` gives."""
    centred = matrices - matrices.mean(dim=-1, keepdim=True)
    return centred @ centred.mT / (matrices.shape[-1] - 1)


def correlation(covariances: Tensor) -> Tensor:
    """Correlations [n, d, d] of covariances [n, d, d]: divided by both standard deviations. A dimension without variance correlates with
    itself only."""
    deviations = covariances.diagonal(dim1=-2, dim2=-1).sqrt().clamp(min=torch.finfo(covariances.dtype).tiny ** 0.25)
    found = covariances / (deviations[:, :, None] * deviations[:, None, :])
    found.diagonal(dim1=-2, dim2=-1).fill_(1)
    return found


def gaussian_samples(means: Tensor, covariances: Tensor, count: int) -> Tensor:
    """`count` draws of each N(mean, covariance), class by class: [n * count, d] of means [n, d]. A covariance [d, d] may be singular."""
    variances, axes = torch.linalg.eigh(covariances)
    noise = torch.randn(len(means), count, means.shape[1], dtype=means.dtype).to(means.device)
    return (means[:, None] + (noise * variances.clamp(min=0).sqrt()[:, None]) @ axes.mT).flatten(0, 1)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Float [n, classes] with 1 at each label."""
    return torch.nn.functional.one_hot(labels, classes).to(torch.get_default_dtype())
