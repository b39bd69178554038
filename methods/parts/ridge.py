"""Ridge regression from sums: G = sum h'h and Q = sum h'y of features h and targets y; the solution is (G + lambda I)^-1 Q."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def with_ridge(gram: Tensor, ridge: float) -> Tensor:
    """G + lambda I, for G [m, m]."""
    return gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)


def held_out_errors(gram: Tensor, cross: Tensor, held_gram: Tensor, held_cross: Tensor, ridges: Sequence[float]) -> Tensor:
    """For each ridge, the squared error on held-out images of the solution for the others, less the constant sum |y|^2.

    It follows from the sums alone: sum |hW - y|^2 = tr(W'GW) - 2 tr(W'Q) + sum |y|^2. Infinite where a ridge is too small to be solved for.
    """
    errors = []
    for ridge in ridges:
        factor, failed = torch.linalg.cholesky_ex(with_ridge(gram, ridge))
        solution = torch.cholesky_solve(cross, factor)
        error = (solution * (held_gram @ solution - 2 * held_cross)).sum()
        errors.append(torch.where((failed == 0) & error.isfinite(), error, torch.inf))
    return torch.stack(errors)
