"""Classifier heads that grow with the sessions."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.models import DynamicModule
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6  # as in LEC-Net's release; below it a vector counts as zero


def unit(x: Tensor) -> Tensor:
    """Rows of `x` [N, d] scaled to length one."""
    return F.normalize(x, dim=-1, eps=NORM_EPS)


class LinearHead(DynamicModule):
    """Bias-free rows on L2-normalised features, rows themselves not normalised, no scale (TOPIC; methods.md 3.1).

    `weight` is [classes seen, d]. Growing never touches the old rows. New rows are drawn N(0, `new_row_std`²), or as
    torch's Linear draws them, uniform within 1/sqrt(d), where `new_row_std` is None.
    """

    def __init__(self, feature_dim: int, new_row_std: float | None = None) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.new_row_std = new_row_std
        self.weight = nn.Parameter(torch.empty(0, feature_dim))

    def new_rows(self, count: int) -> Tensor:
        rows = torch.empty(count, self.feature_dim)
        if self.new_row_std is None:
            bound = self.feature_dim**-0.5
            return rows.uniform_(-bound, bound)
        return rows.normal_(0.0, self.new_row_std)

    def grow(self, classes: int) -> None:
        """Have at least `classes` rows."""
        missing = classes - len(self.weight)
        if missing > 0:
            rows = self.new_rows(missing).to(self.weight)
            self.weight = nn.Parameter(torch.cat([self.weight.data, rows]))

    def adaptation(self, experience: Any) -> None:
        """Avalanche's hook. Grows while training only: evaluation must never change a model (avalanche.md 7)."""
        super().adaptation(experience)
        if self.training:
            self.grow(max(experience.classes_seen_so_far) + 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, d] to logits [N, classes seen]."""
        return F.linear(unit(features), self.weight)
