"""How many seeds' base sessions fit onto a card at once. No part of a result: a seed's bytes do not depend on who trains beside it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.base.training import first_step, loss_of_batch
from methods.contract import BaseKind
from methods.parts.network import Network

SHARE = 0.5
"""Share of the free memory that a group may take; other workers on the card and libraries take some of the rest."""
TRIED = 2
"""Images of the batch from which a step's memory is estimated."""
COPIES = 3
"""A step keeps its activations and as many gradients; the recording of the last, smaller batch of an epoch has memory of its own."""


def seeds_a_group(free: int, each: int, wanted: int) -> int:
    """How many of `wanted` seeds train together, given the free memory and what one needs (bytes). At least 1."""
    return max(1, min(wanted, int(SHARE * free) // max(1, each)))


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a card; 0 on a CPU, where seeds train one after the other."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def memory_of(network: Network, kind: BaseKind, channels: int, sides: Sequence[int], batch: int) -> int:
    """Estimate, in bytes, of what one seed's training needs: weights, gradients, the optimiser's state, and the activations of a batch.

    `sides` are those of the views. The activations are those that a step on few images saves for its backward pass, on the CPU.
    """
    tried = copy.deepcopy(network).cpu().train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*tried.parameters(), *tried.buffers())}
    weights = sum(tensor.nbytes for tensor in (*tried.parameters(), *tried.buffers()))
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        views = [torch.zeros(TRIED, channels, side, side) for side in sides]
        loss = loss_of_batch(tried, kind, views, torch.arange(TRIED), first_step(kind, tried, views[0]))
    activations = sum(saved.values()) if loss.requires_grad else 0
    return 4 * weights + COPIES * activations * -(-batch // TRIED)
