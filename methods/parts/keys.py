"""Contrast with keys: a second network that follows the trained one, a queue of its last outputs, and the loss over both
(docs/methods.md 6.6)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.heads import unit
from methods.parts.network import Network

NEVER = -1e4  # stands for a similarity of minus infinity, where that would make gradients that are no numbers


class Keys(nn.Module):
    """The key network, which follows backbone and projector, with batch statistics of its own; and the `queue` [K, width] of its last unit
    keys, the newest first, with their joint `labels` [K]: -1 while a place holds a random vector."""

    queue: Tensor
    labels: Tensor

    def __init__(self, network: Network, project: nn.Module, width: int, length: int) -> None:
        super().__init__()
        self.network, self.project = copy.deepcopy(network), copy.deepcopy(project)
        self.network.head = nn.Identity()
        self.requires_grad_(False)
        self.register_buffer("queue", unit(torch.randn(length, width)))
        self.register_buffer("labels", torch.full((length,), -1))

    @torch.no_grad()
    def of(self, images: Tensor) -> Tensor:
        """Unit keys [N, width] of images."""
        return unit(self.project(self.network.embed(images)))

    @torch.no_grad()
    def add(self, keys: Tensor, labels: Tensor) -> None:
        """Puts keys [N, width] and their labels [N] into the queue, in place of its oldest ones."""
        for held, new in ((self.queue, keys), (self.labels, labels)):
            held.copy_(torch.cat([new, held])[: len(held)])

    @torch.no_grad()
    def follow(self, network: Network, project: nn.Module, momentum: float) -> None:
        pairs = ((self.network.backbone, network.backbone), (self.project, project))
        for own, followed in pairs:
            torch._foreach_lerp_([*own.parameters()], [*followed.parameters()], 1 - momentum)


def drawn_to_keys(x: Tensor, own: Tensor, queue: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Mean over unit vectors [n, width], and over each one's positives p, of log(1 + sum over negatives k of exp(s_k - s_p)), for cosines
    s divided by the temperature (UniMoCo). Positives are the own key [n, width] and those of the queue [K, width] that are `same`
    [n, K]."""
    of_own, of_queue = (x * own).sum(dim=1, keepdim=True) / temperature, x @ queue.T / temperature
    negatives = of_queue.masked_fill(same, NEVER).logsumexp(dim=1, keepdim=True)
    of_positives = F.softplus(negatives - of_own)[:, 0] + (F.softplus(negatives - of_queue) * same).sum(dim=1)
    return (of_positives / (1 + same.sum(dim=1))).mean()
