"""The network every method starts from: backbone, optional projection, growing head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from methods.parts.backbones import Backbone
from methods.parts.path_integral import PathIntegral

M = TypeVar("M", bound=nn.Module)


class Network(nn.Module):
    """Images [N, C, S, S] to logits [N, classes seen].

    The backbone runs in `precision` (fp32 or bf16 autocast) everywhere; features leave it as float32, and projection,
    head and loss are always float32. `projection` is the identity, or the bias-free square layer that LEC-Net's
    release trains in its base session (methods.md 5.1, F1). `path` is there while SI's path integral is kept. Training batches of
    `compiled_batch` images go through the compiled backbone (0: none does); the bits differ from those of the plain one, so
    whoever sets it writes down that it is compiled.
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
        """Images to backbone features [N, d], float32; [N, 9 d] where `nine_windows` is set (see window_means)."""
        if 0 < self.compiled_batch == len(images) and torch.is_grad_enabled():
            return compiled_embed(images.device.type)(self, images)
        return plain_embed(self, images)

    def embed_lower(self, images: Tensor) -> Tensor:
        """Images to the input of the backbone's last block, in the backbone's precision."""
        with self._precision(images):
            return self.backbone.lower(images)

    def embed_upper(self, x: Tensor) -> Tensor:
        """The rest of `embed`."""
        with self._precision(x):
            maps = self.backbone.upper(x)
            features = window_means(maps) if self.nine_windows else maps.mean(dim=(2, 3))
        return features.float()

    def _precision(self, x: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(x.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def classify(self, features: Tensor) -> Tensor:
        """Backbone features [N, d] to logits [N, classes seen]."""
        return self.head(self.projection(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


def plain_embed(network: Network, images: Tensor) -> Tensor:
    return network.embed_upper(network.embed_lower(images))


@cache
def compiled_embed(device_type: str) -> Callable[[Network, Tensor], Tensor]:
    """`plain_embed`, compiled once a shape and mode, whichever network runs it. On a GPU its kernels are replayed as one graph."""
    return torch.compile(plain_embed, dynamic=False, mode="reduce-overhead" if device_type == "cuda" else None)


def begin_step(device: torch.device) -> None:
    """Say that an iteration begins: on a GPU, what the last one's compiled passes gave may be overwritten from now on."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def window_means(maps: Tensor) -> Tensor:
    """Maps [N, d, h, w] to the nine sums that a 3x3 convolution with padding 1 sees, over h w: [N, 9 d].

    Entry (row, column) of the nine adds up the positions that kernel weight (row, column) meets, so that a bias-free 3x3
    convolution followed by the mean over positions is one linear layer on the result, exactly.
    """
    h, w = maps.shape[2:]
    cut = [slice(0, -1), slice(None), slice(1, None)]
    sums = [maps[:, :, indices, columns].sum(dim=(2, 3)) for indices in cut for columns in cut]
    return torch.cat(sums, dim=1) / (h * w)


def frozen_copy(module: M) -> M:
    """A teacher: the module as it is now, in evaluation mode and without gradients."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def set_batch_norm(module: nn.Module, training: bool) -> None:
    """Batch norm over the batch (training) or over the stored statistics, whatever the rest of the module does."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.train(training)
