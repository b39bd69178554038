"""Classifier heads that grow from session to session."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.models import DynamicModule
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6  # as in LEC-Net's release; smallest norm that a vector is divided by


def unit(x: Tensor) -> Tensor:
    """Rows of `x` [N, d] scaled to length one."""
    return F.normalize(x, dim=-1, eps=NORM_EPS)


class GrowingHead(DynamicModule):
    """A classifier with one weight vector per class: `weight` is [classes seen, d]. Growing never changes the weights of old classes.

    The weights of new classes are drawn from N(0, `new_row_std`²), or by `draw_weights` if `new_row_std` is None.
    """

    reads_rows = True
    """Whether the logits depend on `weight`, so that the base session trains it."""

    def __init__(self, feature_dim: int, new_row_std: float | None = None) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.new_row_std = new_row_std
        self.adapts = True  # grow with the classes seen; False: the owner of the head grows it
        self.weight = nn.Parameter(torch.empty(0, feature_dim))

    def draw_weights(self, rows: Tensor) -> Tensor:
        """Initialise the weights of new classes [n, d] in place, as torch's Linear: uniform within ±1/sqrt(d)."""
        bound = self.feature_dim**-0.5
        return rows.uniform_(-bound, bound)

    def grow(self, classes: int) -> None:
        """Add weights until the head has at least `classes` classes."""
        missing = classes - len(self.weight)
        if missing > 0:
            weights = torch.empty(missing, self.feature_dim)
            weights = self.draw_weights(weights) if self.new_row_std is None else weights.normal_(0.0, self.new_row_std)
            self.weight = nn.Parameter(torch.cat([self.weight.data, weights.to(self.weight)]))

    def adaptation(self, experience: Any) -> None:
        """Avalanche's hook. The head grows in training mode only: evaluation must never change a model."""
        super().adaptation(experience)
        if self.training and self.adapts:
            self.grow(max(experience.classes_seen_so_far) + 1)

    def class_tensors(self) -> list[Tensor]:
        """The parameters whose first dimension is the class."""
        return [self.weight]

    def has_room(self, classes: int) -> bool:
        """Whether it can give that many classes a logit each, of their own."""
        return True

    def forward(self, features: Tensor) -> Tensor:
        """Maps features [N, d] to logits [N, classes seen]."""
        raise NotImplementedError


class LinearHead(GrowingHead):
    """Linear without bias on L2-normalised features; class weights are not normalised, no scale (TOPIC; docs/methods.md 3.1)."""

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(unit(features), self.weight)


class DotHead(GrowingHead):
    """Bias-free linear layer on un-normalised features (WaRP's base head; docs/modern.md 2.2)."""

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight)


class CosineHead(GrowingHead):
    """scale * cos(feature, class weights). The scale starts at `scale`; it is trained (Hou et al., CVPR 2019, Eq. 4; docs/methods.md 4.5)
    unless `learns` is False (CEC's 16; docs/methods.md 6.1)."""

    scale: Tensor

    def __init__(self, feature_dim: int, new_row_std: float | None = None, scale: float = 1.0, learns: bool = True) -> None:
        super().__init__(feature_dim, new_row_std)
        if learns:
            self.scale = nn.Parameter(torch.full((), float(scale)))  # of a whole number, torch makes integers
        else:
            self.register_buffer("scale", torch.full((), float(scale)))

    def cosines(self, features: Tensor) -> Tensor:
        return F.linear(unit(features), unit(self.weight))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)


class MarginHead(CosineHead):
    """scale * |m_c| * cos(feature, weights of c), with one learned margin m_c per class that starts at 1 (ADBS; docs/modern.md 2.5)."""

    def __init__(self, feature_dim: int, new_row_std: float | None = None, scale: float = 1.0, learns: bool = True) -> None:
        super().__init__(feature_dim, new_row_std, scale, learns)
        self.margin = nn.Parameter(torch.empty(0))

    def grow(self, classes: int) -> None:
        super().grow(classes)
        ones = torch.ones(len(self.weight) - len(self.margin)).to(self.margin)
        if len(ones):
            self.margin = nn.Parameter(torch.cat([self.margin.data, ones]))

    def class_tensors(self) -> list[Tensor]:
        return [self.weight, self.margin]

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.margin.abs()

    def separation(self) -> Tensor:
        """Mean over pairs of classes of relu((1 - cos_ij) - (m_j - m_i cos_ij)), where cos_ij is that of their weights (ADBS)."""
        cosines = unit(self.weight) @ unit(self.weight).T
        needed = 1 - cosines - (self.margin[None, :] - self.margin[:, None] * cosines)
        return F.relu(needed).mean()


class PlainHead(GrowingHead):
    """An ordinary linear layer with bias and Xavier initialisation, on un-normalised features (Seq-MNIST; docs/methods.md 6.10)."""

    def __init__(self, feature_dim: int, new_row_std: float | None = None) -> None:
        super().__init__(feature_dim, new_row_std)
        self.bias = nn.Parameter(torch.empty(0))

    def draw_weights(self, rows: Tensor) -> Tensor:
        bound = (6 / (self.feature_dim + len(self.weight) + len(rows))) ** 0.5
        return rows.uniform_(-bound, bound)

    def grow(self, classes: int) -> None:
        super().grow(classes)
        zeros = torch.zeros(len(self.weight) - len(self.bias)).to(self.bias)
        if len(zeros):
            self.bias = nn.Parameter(torch.cat([self.bias.data, zeros]))

    def class_tensors(self) -> list[Tensor]:
        return [self.weight, self.bias]

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)
