"""Images and labels on the device. Images are copied there once for all seeds, since seeds differ only in labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from benchmarks.data.images import ImageSet
from benchmarks.data.sources.raw import TextVectors
from benchmarks.data.splits import Split
from methods.contract.texts import Texts
from protocols.schema import Data


@dataclass(frozen=True, kw_only=True)
class DeviceImages:
    """Images, uint8 [N, C, S, S]. `plain` holds the training images at the test size; it is `train` itself if the sizes are equal."""

    train: Tensor
    plain: Tensor
    test: Tensor

    def under(self, data: Data) -> Tensor:
        """The training images of the size that a transform of `data` takes."""
        return self.plain if data.train_size is None else self.train


@dataclass(frozen=True, kw_only=True)
class Tensors(DeviceImages):
    """Images with labels, int64 [N], numbered in the order of arrival (-1: class not in the split), and text vectors in label order."""

    labels: Tensor
    test_labels: Tensor
    texts: Texts | None = None


def to_device(images: ImageSet, device: torch.device) -> DeviceImages:
    train = torch.from_numpy(images.train).to(device)
    plain = train if images.plain is images.train else torch.from_numpy(images.plain).to(device)
    return DeviceImages(train=train, plain=plain, test=torch.from_numpy(images.test).to(device))


def labelled(here: DeviceImages, images: ImageSet, split: Split) -> Tensors:
    """The device images with the labels of a split."""
    device = here.train.device
    return Tensors(
        train=here.train,
        plain=here.plain,
        test=here.test,
        labels=torch.from_numpy(split.labels(images.train_classes)).to(device),
        test_labels=torch.from_numpy(split.labels(images.test_classes)).to(device),
        texts=None if images.texts is None else texts_on(device, images.texts.of(split.order)),
    )


def texts_on(device: torch.device, texts: TextVectors) -> Texts:
    described = texts.descriptions
    return Texts(torch.from_numpy(texts.prompts).to(device), None if described is None else torch.from_numpy(described).to(device))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies the tensor to the device without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@cache
def constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A tensor [C, 1, 1] with one value per channel."""
    return torch.tensor(values, device=device).view(-1, 1, 1)
