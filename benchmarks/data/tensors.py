"""Images and labels on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.data.images import ImageSet
from benchmarks.data.splits import Split

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Tensors:
    """Images on the device, uint8, and labels int64 in the order of arrival (-1: never shown)."""

    train: Tensor
    plain: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor


def to_device(images: ImageSet, split: Split, device: torch.device) -> Tensors:
    train = torch.from_numpy(images.train).to(device)
    return Tensors(
        train=train,
        plain=train if images.plain is images.train else torch.from_numpy(images.plain).to(device),
        labels=torch.from_numpy(split.labels(images.train_classes)).to(device),
        test=torch.from_numpy(images.test).to(device),
        test_labels=torch.from_numpy(split.labels(images.test_classes)).to(device),
    )
