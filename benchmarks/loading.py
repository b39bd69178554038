"""Batches cut from uint8 tensors that live on the device: whole batches are cropped, flipped and normalised at once.

No image is decoded, and no Python runs per image. All random choices of an epoch are drawn before it, on the CPU, from
a named stream, so that they do not depend on the device or on what was evaluated in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.streams import torch_seed
from protocols.schema import Augment, Data


@dataclass(frozen=True)
class Transform:
    """A protocol's transforms on whole batches of uint8 images [N, C, H, W]."""

    data: Data
    augment: Augment

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, C, S, S] to float32 of the protocol's mean and standard deviation, channels last in memory."""
        std = torch.tensor(self.data.std, device=images.device).view(-1, 1, 1)
        mean = torch.tensor(self.data.mean, device=images.device).view(-1, 1, 1)
        x = images.to(torch.float32, memory_format=torch.channels_last)
        return x.div_(255).sub_(mean).div_(std)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The random choices for `count` images: crop offsets, flips, jitter factors."""
        stored = self.data.train_size or self.data.size
        room = stored + 2 * self.augment.pad - self.data.size
        offsets = torch.randint(0, room + 1, (2, count), generator=generator)
        flips = torch.rand(count, generator=generator) < 0.5
        factors = 1 + self.augment.jitter * (2 * torch.rand(3, count, generator=generator) - 1)
        return Draws(offsets, flips, factors)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment and normalise uint8 [N, C, H, W] (stored size) to float32 [N, C, S, S]."""
        images = crop(images, self.augment.pad, self.data.size, draws.offsets)
        if self.augment.flip:
            images = torch.where(draws.flips.view(-1, 1, 1, 1), images.flip(-1), images)
        if self.augment.jitter:
            images = jitter(images, draws.factors)
        return self.normalise(images)


@dataclass(frozen=True)
class Draws:
    """Random choices for N images: crop offsets [2, N] (rows, columns), flips [N], jitter factors [3, N]."""

    offsets: Tensor
    flips: Tensor
    factors: Tensor

    def at(self, index: slice) -> Draws:
        return Draws(self.offsets[:, index], self.flips[index], self.factors[:, index])

    def to(self, device: torch.device) -> Draws:
        return Draws(self.offsets.to(device), self.flips.to(device), self.factors.to(device))


def crop(images: Tensor, pad: int, size: int, offsets: Tensor) -> Tensor:
    """Cut a size x size window out of every zero-padded image, at its own offsets [2, N]."""
    if pad == 0 and images.shape[-1] == size:
        return images
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: nothing is copied but what is picked
    picked = windows[torch.arange(len(images), device=images.device), :, offsets[0], offsets[1]]
    return picked


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation by factors [3, N], in torchvision's definitions, in this order; uint8 in and out."""
    x = images.to(torch.float32)
    brightness, contrast, saturation = (f.view(-1, 1, 1, 1).to(x) for f in factors)
    x = (x * brightness).clamp_(0, 255)
    x = (contrast * x + (1 - contrast) * grey(x).mean(dim=(2, 3), keepdim=True)).clamp_(0, 255)
    x = (saturation * x + (1 - saturation) * grey(x)).clamp_(0, 255)
    return x.round_().to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """ITU-R 601 luma [N, 1, H, W]; one-channel images are returned as they are."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


class Batches:
    """Shuffled, augmented batches over given rows: each iteration is one epoch. Yields [images, labels, task zeros].

    Epoch e of the stream `name` draws from its own generator, so an interrupted training can go on at any epoch.
    """

    def __init__(self, images: Tensor, labels: Tensor, rows: Tensor, transform: Transform, batch_size: int, seed: int, name: str) -> None:
        self.images, self.labels, self.rows = images, labels, rows
        self.transform, self.batch_size, self.seed, self.name = transform, batch_size, seed, name
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        generator = torch.Generator().manual_seed(torch_seed(self.seed, f"{self.name}/epoch{self.epoch}"))
        self.epoch += 1
        device = self.images.device
        rows = self.rows[torch.randperm(len(self.rows), generator=generator)].to(device)
        draws = self.transform.draw(len(rows), generator).to(device)
        for start in range(0, len(rows), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = rows[part]
            x = self.transform.apply(self.images[batch], draws.at(part))
            yield [x, self.labels[batch], torch.zeros_like(batch)]
