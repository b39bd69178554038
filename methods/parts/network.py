"""The network that every method starts from: backbone, optional projection, growing head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from methods.parts.backbone import Backbone
from methods.parts.path_integral import PathIntegral

M = TypeVar("M", bound=nn.Module)


class Network(nn.Module):
    """Maps images [N, C, S, S] to logits [N, classes seen].

    The backbone always runs in `precision` (fp32, or bf16 autocast). It returns float32 features, and projection, head and
    loss are always float32. `projection` is the identity, or the bias-free square layer that LEC-Net's release trains in
    its base session (docs/methods.md 5.1, F1). `path` is SI's path integral, or None. Training batches of `compiled_batch`
    images go through the compiled backbone (0: none does). Its results differ in their last bits from those of the plain
    one, so the caller that sets it must record it.
    """

    def __init__(self, backbone: Backbone, precision: str) -> None:
        super().__init__()
        d = backbone.feature_dim
        self.backbone = backbone
        self.feature_dim = d
        self.precision = precision
        self.nine_windows = False
        self.compiled_batch = 0
        self.projection: nn.Module = nn.Identity()  # a base kind may put a layer in its place
        self.head: Any = backbone.head(d)  # a base kind or a method may put another in its place
        self.path: PathIntegral | None = None

    def embed(self, images: Tensor) -> Tensor:
        """Maps images to backbone features [N, d], float32; [N, 9 d] if `nine_windows` is set (see window_means)."""
        if 0 < self.compiled_batch == len(images) and torch.is_grad_enabled():
            return compiled_embed(images.device.type)(self, images)
        return plain_embed(self, images)

    def embed_lower(self, images: Tensor) -> Tensor:
        """Maps images to the input of the backbone's last block, in the backbone's precision."""
        with self._precision(images):
            return self.backbone.lower(images)

    def embed_upper(self, x: Tensor) -> Tensor:
        """Maps the output of `embed_lower` to features, as `embed` does."""
        with self._precision(x):
            maps = self.backbone.upper(x)
            features = window_means(maps) if self.nine_windows else maps.mean(dim=(2, 3))
        return features.float()

    def _precision(self, x: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(x.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def classify(self, features: Tensor) -> Tensor:
        """Maps backbone features [N, d] to logits [N, classes seen]."""
        return self.head(self.projection(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


def plain_embed(network: Network, images: Tensor) -> Tensor:
    return network.embed_upper(network.embed_lower(images))


@cache
def compiled_embed(device_type: str) -> Callable[[Network, Tensor], Tensor]:
    """`plain_embed`, compiled once per shape and mode for all networks. On a GPU it uses CUDA graphs."""
    return torch.compile(plain_embed, dynamic=False, mode="reduce-overhead" if device_type == "cuda" else None)


def begin_step(device: torch.device) -> None:
    """Mark the start of an iteration. On a GPU, outputs of compiled passes of the last iteration may be overwritten from now on."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def window_means(maps: Tensor) -> Tensor:
    """Returns [N, 9 d] for feature maps [N, d, h, w]: per position of a 3x3 kernel with padding 1, the sum of its inputs / (h w).

    Entry (row, column) of the nine sums the inputs that kernel weight (row, column) is multiplied with. Therefore a bias-free
    3x3 convolution followed by the mean over positions is exactly one linear layer on the result.
    """
    h, w = maps.shape[2:]
    cut = [slice(0, -1), slice(None), slice(1, None)]
    sums = [maps[:, :, rows, columns].sum(dim=(2, 3)) for rows in cut for columns in cut]
    return torch.cat(sums, dim=1) / (h * w)


def frozen_copy(module: M) -> M:
    """A copy of the module in its current state, in evaluation mode and without gradients, for use as a teacher."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def set_batch_norm(module: nn.Module, training: bool) -> None:
    """Set only the batch-norm layers to training mode (batch statistics) or evaluation mode (stored statistics)."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.train(training)
