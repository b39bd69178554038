"""The network that every method starts from: backbone, neck, growing head, and the parts that a base kind adds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from methods.parts.backbone import Backbone
from protocols.training import Trains

M = TypeVar("M", bound=nn.Module)


class Network(nn.Module):
    """Maps images [N, C, S, S] to logits [N, classes seen]: head(neck(pool(maps))).

    The backbone always runs in `precision` (fp32, tf32 or bf16 autocast). It returns float32 features, and neck, head and loss are always
    float32. `neck` is the identity unless a base kind puts a layer there. `pool` maps the backbone's last maps [N, d, h, w] to
    features; a method may replace it in `adopt`. `parts` hold what a base kind or a method adds. Training batches of
    `compiled_batch` images go through the compiled backbone (0: none does). Its results differ in their last bits from those of
    the plain one, so the caller that sets it must record it. If `recorded`, the caller records whole steps (capture.py), so that
    compiled passes bring no CUDA graphs of their own; that changes no bit. `embed` gets what `given` says: images, or outputs of the
    part that a base session leaves frozen: those of `embed_lower` (maps), or its own (features).
    """

    def __init__(self, backbone: Backbone, precision: str) -> None:
        super().__init__()
        d = backbone.feature_dim
        self.backbone = backbone
        self.feature_dim = d
        self.precision = precision
        self.pool: Callable[[Tensor], Tensor] = mean_over_positions
        self.compiled_batch = 0
        self.recorded = False
        self.given: Literal["images", "maps", "features"] = "images"
        self.neck: nn.Module = nn.Identity()
        self.head: Any = backbone.head(d)
        self.parts = nn.ModuleDict()

    def embed(self, images: Tensor) -> Tensor:
        """Maps images, or what is `given`, to backbone features [N, d], float32."""
        if self.given != "images":
            return images if self.given == "features" else self.embed_upper(images)
        if 0 < self.compiled_batch == len(images) and torch.is_grad_enabled():
            return compiled_embed(images.device.type == "cuda" and not self.recorded)(self, images)
        return plain_embed(self, images)

    def embed_lower(self, images: Tensor) -> Tensor:
        """Maps images to the input of the backbone's last block, in the backbone's precision."""
        with self._precision(images):
            return self.backbone.lower(images)

    def embed_upper(self, x: Tensor) -> Tensor:
        """Maps the output of `embed_lower` to features, as `embed` does."""
        with self._precision(x):
            features = self.pool(self.backbone.upper(x))
        return features.float()

    def _precision(self, x: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(x.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def classify(self, features: Tensor) -> Tensor:
        """Maps backbone features [N, d] to logits [N, classes seen]."""
        return self.head(self.neck(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


def plain_embed(network: Network, images: Tensor) -> Tensor:
    return network.embed_upper(network.embed_lower(images))


@cache
def compiled_embed(graphs: bool) -> Callable[[Network, Tensor], Tensor]:
    """`plain_embed`, compiled once per shape and mode for all networks; with `graphs`, its passes are CUDA graphs."""
    return torch.compile(plain_embed, dynamic=False, mode="reduce-overhead" if graphs else None)


def begin_step(device: torch.device) -> None:
    """Mark the start of an iteration. On a GPU, outputs of compiled passes of the last iteration may be overwritten from now on."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def mean_over_positions(maps: Tensor) -> Tensor:
    """Global average pooling: maps [N, d, h, w] to features [N, d]."""
    return maps.mean(dim=(2, 3))


def frozen_copy(module: M) -> M:
    """A copy of the module in its current state, in evaluation mode and without gradients, for use as a teacher."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def hold_still(network: Network, trains: Trains) -> None:
    """Set the batch-norm layers of what `trains` leaves frozen to evaluation mode; those of the last block stay as they are under
    `last_block`."""
    last = set(network.backbone.last_block.modules()) if trains == "last_block" else set()
    for part in network.backbone.modules() if trains != "all" else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part not in last:
            part.eval()


def freeze_all_but(network: Network, trains: Trains) -> None:
    """Keep all of the backbone but what `trains` names from changing: no gradients, and batch norm in evaluation mode."""
    if trains != "all":
        network.backbone.requires_grad_(False)
        if trains == "last_block":
            network.backbone.last_block.requires_grad_(True)
    hold_still(network, trains)


def set_batch_norm(module: nn.Module, training: bool) -> None:
    """Set only the batch-norm layers to training mode (batch statistics) or evaluation mode (stored statistics)."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.train(training)
