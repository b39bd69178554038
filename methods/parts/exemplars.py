"""Choosing exemplars."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.heads import unit


def random_choice(count: int, most: int) -> Tensor:
    """`most` random positions out of `count`, sorted; all if there are fewer. Drawn from torch's global generator."""
    return torch.randperm(count)[:most].sort().values


def herding(features: Tensor, most: int) -> Tensor:
    """Positions of `most` exemplars in the order chosen, without repetition; all positions if there are fewer.

    Each step adds the exemplar that brings the mean of the chosen ones closest to the mean of all (iCaRL, Rebuffi et al.,
    CVPR 2017, Alg. 4). Features [n, d] are normalised to length one first.
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
