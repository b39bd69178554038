"""A protocol's transforms on whole batches of uint8 images: crop, flip, jitter, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from protocols.schema import Augment, Data


@dataclass(frozen=True)
class Transform:
    """A protocol's transforms on whole batches of uint8 images [N, C, H, W]."""

    data: Data
    augment: Augment

    def normalise(self, images: Tensor) -> Tensor:
        """Converts uint8 [N, C, S, S] to float32, normalised by the protocol's mean and standard deviation, channels last in memory."""
        mean, std = constants(self.data.mean, images.device), constants(self.data.std, images.device)
        x = images.to(torch.float32, memory_format=torch.channels_last)
        return x.div_(255).sub_(mean).div_(std)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The random choices for `count` images: crop offsets, flips, jitter factors."""
        stored = self.data.train_size or self.data.size
        room = stored + 2 * self.augment.pad - self.data.size
        offsets = torch.randint(0, room + 1, (2, count), generator=generator)
        flips = torch.rand(count, generator=generator) < 0.5
        factors = torch.ones(3, count)
        if self.augment.jitter:  # drawn last, so that without jitter the other draws stay the same
            factors += self.augment.jitter * (2 * torch.rand(3, count, generator=generator) - 1)
        return Draws(offsets, flips, factors)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Augments and normalises uint8 [N, C, H, W] (stored size) to float32 [N, C, S, S]."""
        images = crop(images, self.augment.pad, self.data.size, draws.offsets)
        if self.augment.flip:
            images = torch.where(draws.flips.view(-1, 1, 1, 1), images.flip(-1), images)
        if self.augment.jitter:
            images = jitter(images, draws.factors)
        return self.normalise(images)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies the tensor to the device without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@cache
def constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A tensor [C, 1, 1] with one value per channel."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


def piece_size(size: int) -> int:
    """How many images of `size` x `size` pixels are prepared at once: 512 for 32 x 32."""
    return max(1, min(512, 2**19 // size**2))


def embedding_size(size: int, device: torch.device) -> int:
    """How many images of `size` x `size` pixels go through a network at once when no gradient is needed.

    On a CPU, few enough for a layer's output to stay in the cache (128 images of 32 x 32: a third faster than 500, with the
    same bits); on a GPU, enough to fill it.
    """
    return max(8, min(2048, 2**17 // size**2)) * (1 if device.type == "cpu" else 8)


@dataclass(frozen=True)
class Draws:
    """Random choices for N images: crop offsets [2, N] (rows, columns), flips [N], jitter factors [3, N]."""

    offsets: Tensor
    flips: Tensor
    factors: Tensor

    def at(self, index: slice) -> Draws:
        return Draws(self.offsets[:, index], self.flips[index], self.factors[:, index])

    @staticmethod
    def cat(several: Sequence[Draws]) -> Draws:
        """Concatenates several draws."""
        return Draws(*(torch.cat(parts, dim=-1) for parts in zip(*((d.offsets, d.flips, d.factors) for d in several), strict=True)))

    def to(self, device: torch.device) -> Draws:
        return Draws(sent(self.offsets, device), sent(self.flips, device), sent(self.factors, device))


def crop(images: Tensor, pad: int, size: int, offsets: Tensor) -> Tensor:
    """Cuts a size x size window out of every zero-padded image at its own offsets [2, N] (rows, columns)."""
    if pad == 0 and images.shape[-1] == size:
        return images
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: only the chosen windows are copied
    picked = windows[torch.arange(len(images), device=images.device), :, offsets[0], offsets[1]]
    return picked


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Scales brightness, contrast and saturation, in this order, by factors [3, N], as torchvision defines them; uint8 in and out."""
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
    weights = constants((0.299, 0.587, 0.114), images.device)
    return (images * weights).sum(dim=1, keepdim=True)
