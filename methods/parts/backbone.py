"""What a backbone is. It maps images [N, C, S, S] to features [N, d], with d = `feature_dim`.

A backbone consists of `lower`, everything below its last block, and `upper`, the last block. Methods that train only the last
block can run the rest once per session.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from methods.parts.heads import GrowingHead, LinearHead


class Backbone(nn.Module):
    """Maps images to features. `feature_dim` is the number of features, `head` the class of the default head."""

    feature_dim: int
    head: type[GrowingHead] = LinearHead

    @property
    def last_block(self) -> nn.Module:
        """The block that is still trained under TOPIC's `--fix-conv` (docs/methods.md 3.1)."""
        raise NotImplementedError

    def lower(self, images: Tensor) -> Tensor:
        """Maps images to the input of the last block."""
        raise NotImplementedError

    def upper(self, x: Tensor) -> Tensor:
        """Maps the output of `lower` to the final feature map [N, d, h, w]; its mean over positions is the feature."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.upper(self.lower(images)).mean(dim=(2, 3))


def run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Applies the layers in order. (Slicing an nn.Sequential would build a new container in every pass.)"""
    for layer in layers:
        x = layer(x)
    return x


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
