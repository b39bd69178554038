"""Mixing the images or features of a batch, with draws from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from methods.parts.backbone import Backbone
from methods.parts.network import Network, plain_embed
from methods.parts.resnets import late_stages


def beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws of Beta(alpha, alpha), float32 [count], on the CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count)).float()


def shuffled(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """A random order of `count` items, int64 [count], on the device."""
    return torch.randperm(count, generator=generator).to(device)


def box(kept: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """CutMix: `kept` [S, S] with 0 in a box that covers 1 - `share` of it, cut off at the border, and the share that is left. Raises
    IndexError if `kept` has no two sides."""
    side = kept.shape[-1]
    half = int(side * sqrt(1 - share)) // 2
    middle = torch.randint(0, side, (2,), generator=generator).tolist()
    (top, bottom), (left, right) = ((max(0, at - half), min(side, at + half)) for at in middle)
    kept[top:bottom, left:right] = 0
    return kept, 1 - (bottom - top) * (right - left) / side**2


def third_stage(backbone: Backbone) -> nn.Module:
    """The first layer after a backbone's second stage ("layer 2" of residual networks); of small networks, that of the last block. Raises
    ValueError if there is none."""
    third = late_stages(backbone)[0]
    in_turn = isinstance(third, nn.ModuleList) or (isinstance(third, nn.Sequential) and type(third).forward is nn.Sequential.forward)
    if not in_turn:  # its first layer may be one branch of several
        return third
    if (first := next(third.children(), None)) is None:
        raise ValueError("maps are mixed where the last block begins, and that of this network is empty")
    return first


def embed_changed(network: Network, images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Features [N, d] of images whose maps are changed after the backbone's second stage. Raises ValueError if none came by there."""
    changed = False

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal changed
        changed = True
        return (change(inputs[0]), *inputs[1:])

    handle = third_stage(network.backbone).register_forward_pre_hook(hook)
    try:
        features = plain_embed(network, images)
    finally:
        handle.remove()
    if not changed:
        raise ValueError("maps are mixed where the last block begins, and this network never calls it as a whole; make upper() do so")
    return features
