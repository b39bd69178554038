"""Choosing the images that a method keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.heads import unit


def random_choice(count: int, most: int) -> Tensor:
    """`most` of `count` positions, or all where there are fewer, sorted; drawn from torch's global generator."""
    return torch.randperm(count)[:most].sort().values


def herding(features: Tensor, most: int) -> Tensor:
    """Positions of `most` exemplars in order of choice, none twice; all where there are fewer.

    Each next one brings the mean of those chosen nearest to the mean of all (iCaRL, Rebuffi et al., CVPR 2017, Alg. 4), on
    features [n, d] of length one.
    """
    x = unit(features)
    mean, chosen = x.mean(0), torch.zeros_like(x[0])
    free = torch.ones(len(x), dtype=torch.bool, device=x.device)
    order: list[int] = []
    for number in range(1, min(most, len(x)) + 1):
        distance = ((chosen + x) / number - mean).norm(dim=1)
        position = int(distance.masked_fill(~free, torch.inf).argmin())
        order.append(position)
        free[position] = False
        chosen = chosen + x[position]
    return torch.tensor(order, dtype=torch.int64)
