"""Fantasy classes: an image under M fixed transforms, each of which makes a class of its own (SAVC; docs/methods.md 6.6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.parts.heads import GrowingHead, unit


@dataclass(frozen=True)
class Transforms:
    """`turns` (1, 2 or 4) about the whole circle, each in `channel_orders` cyclic orders of the channels."""

    turns: int
    channel_orders: int

    def __len__(self) -> int:
        """M."""
        return self.turns * self.channel_orders

    def shown(self, images: Tensor) -> Tensor:
        """Images [N, C, S, S] under all transforms, [M * N, C, S, S]: those of one image follow each other, as it is first. Raises
        ValueError for images that have fewer channels than there are orders."""
        if self.channel_orders > images.shape[1]:
            raise ValueError(f"{self.channel_orders} channel_orders need as many channels, and the images have {images.shape[1]}")
        turned = (images.rot90(turn * (4 // self.turns), (2, 3)) for turn in range(self.turns))
        shown = [image.roll(-order, 1) if order else image for image in turned for order in range(self.channel_orders)]
        return torch.stack(shown, dim=1).flatten(0, 1)

    def joint_labels(self, labels: Tensor) -> Tensor:
        """Labels M * c + k [M * N] of `shown` images with labels c [N]."""
        return (len(self) * labels[:, None] + torch.arange(len(self), device=labels.device)).flatten()

    def scores(self, joint: Tensor) -> Tensor:
        """Scores [N, classes]: the mean over transforms of joint logits [M * N, M * classes] of `shown` images, each by the matching
        columns."""
        m = len(self)
        return joint.view(len(joint) // m, m, -1, m).diagonal(dim1=1, dim2=3).mean(dim=2)


class FantasyHead(GrowingHead):
    """scale * cos(feature, row of class and transform). `weight` [classes, d] are the rows of images as they are, `others`
    [classes, M - 1, d] those of the other transforms."""

    def __init__(self, feature_dim: int, scale: float, transforms: Transforms) -> None:
        super().__init__(feature_dim)
        self.scale, self.transforms = scale, transforms
        self.others = nn.Parameter(torch.empty(0, len(transforms) - 1, feature_dim))

    def grow(self, classes: int) -> None:
        super().grow(classes)
        missing = len(self.weight) - len(self.others)
        if missing:
            rows = self.draw_weights(torch.empty(missing, *self.others.shape[1:]))
            self.others = nn.Parameter(torch.cat([self.others.data, rows.to(self.others)]))

    def class_tensors(self) -> list[Tensor]:
        return [self.weight, self.others]

    def joint(self, features: Tensor) -> Tensor:
        """Logits [N, M * classes] of features [N, d]; column M * c + k is transform k of class c."""
        rows = torch.cat([self.weight[:, None], self.others], dim=1)
        return self.scale * unit(features) @ unit(rows.flatten(0, 1)).T

    def forward(self, features: Tensor) -> Tensor:
        return self.joint(features)[:, :: len(self.transforms)]
