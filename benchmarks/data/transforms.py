"""A protocol's transforms on whole batches of uint8 images: what is drawn, and in which order it is done.

Where pixels come from is in geometry.py, what becomes of their levels in colour.py and autoaugment.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from benchmarks.data import autoaugment
from benchmarks.data.colour import grey_levels, jitter, turn_hue
from benchmarks.data.geometry import TRIES, boxes_of, crop, cutout, resized_crop
from benchmarks.data.tensors import constants, sent
from protocols.schema import Augment, Data


@dataclass(frozen=True)
class Transform:
    """A protocol's transforms on whole batches of uint8 images [N, C, H, W].

    `size` is the side S of what comes out, where it is not the protocol's: local crops are smaller. Raises ValueError where the
    stored images are too small for it.
    """

    data: Data
    augment: Augment
    size: int | None = None

    def __post_init__(self) -> None:
        if self.room < 0 and (self.augment.scale is None or self.augment.crop_or_resized):
            raise ValueError(f"no window of {self.side} pixels fits into images of {self.stored} with pad {self.augment.pad}; give scale")

    @property
    def side(self) -> int:
        return self.size or self.data.size

    @property
    def stored(self) -> int:
        """Side of the stored training images."""
        return self.data.train_size or self.data.size

    @property
    def room(self) -> int:
        """Largest offset of a window in the padded image."""
        return self.stored + 2 * self.augment.pad - self.side

    def normalise(self, images: Tensor) -> Tensor:
        """Converts uint8 [N, C, S, S] to float32, normalised by the protocol's mean and standard deviation, channels last in memory. Stored
        features stay as they are."""
        if self.data.of_vectors:
            return images
        mean, std = constants(self.data.mean, images.device), constants(self.data.std, images.device)
        x = images.to(torch.float32, memory_format=torch.channels_last)
        return x.div_(255).sub_(mean).div_(std)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The random choices for `count` images. What is not set draws nothing, and what was added later draws later."""
        a = self.augment
        offsets = torch.randint(0, max(self.room, 0) + 1, (2, count), generator=generator)
        flips = torch.rand(count, generator=generator) < 0.5
        factors = torch.ones(3, count)
        if a.jitter:
            factors += a.jitter * (2 * torch.rand(3, count, generator=generator) - 1)
        draws = Draws(offsets, flips, factors)
        if a.hue:
            draws = replace(draws, turns=a.hue * (2 * torch.rand(count, generator=generator) - 1))
        if a.jitter_p < 1:
            still = torch.rand(count, generator=generator) >= a.jitter_p
            turns = None if draws.turns is None else draws.turns.masked_fill(still, 0)
            draws = replace(draws, factors=factors.masked_fill(still, 1), turns=turns)
        if a.scale is not None:
            draws = replace(draws, boxes=self._boxes(a.scale, offsets, generator))
        if a.autoaugment is not None:
            operations, magnitudes = autoaugment.drawn(a.autoaugment, self.side, count, generator)
            if a.autoaugment_p < 1:
                operations = operations * (torch.rand(count, generator=generator) < a.autoaugment_p)
            draws = replace(draws, operations=operations, magnitudes=magnitudes)
        if a.grey:
            draws = replace(draws, greys=torch.rand(count, generator=generator) < a.grey)
        if a.cutout:
            draws = replace(draws, holes=torch.randint(0, self.side, (2, count), generator=generator))
        return draws

    def _boxes(self, scale: tuple[float, float], offsets: Tensor, generator: torch.Generator) -> Tensor:
        """Boxes of resized crops; with `crop_or_resized`, one in two is instead the window at the offsets, which is not resized."""
        count = offsets.shape[1]
        tries, places = (torch.rand(2, *shape, generator=generator) for shape in ((TRIES, count), (count,)))
        boxes = boxes_of(tries, places, self.stored, scale, self.augment.ratio)
        if not self.augment.crop_or_resized:
            return boxes
        windows = torch.cat([offsets - self.augment.pad, torch.full((2, count), self.side)])
        return torch.where(torch.rand(count, generator=generator) < 0.5, windows, boxes)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Augments and normalises uint8 [N, C, H, W] (stored size) to float32 [N, C, S, S]."""
        if draws.boxes is None:
            images = crop(images, self.augment.pad, self.side, draws.offsets)
        else:
            images = resized_crop(images, draws.boxes, self.side)
        if self.augment.flip:
            images = torch.where(draws.flips.view(-1, 1, 1, 1), images.flip(-1), images)
        if draws.operations is not None and draws.magnitudes is not None:
            images = autoaugment.applied(images, draws.operations, draws.magnitudes)
        if self.augment.jitter:
            images = jitter(images, draws.factors)
        if draws.turns is not None:
            images = turn_hue(images, draws.turns)
        if draws.greys is not None:
            images = torch.where(draws.greys.view(-1, 1, 1, 1), grey_levels(images).to(torch.uint8), images)
        if draws.holes is not None:
            images = cutout(images, self.augment.cutout, draws.holes)
        return self.normalise(images)


def brought(data: Data, augment: Augment, size: int | None = None) -> Transform:
    """The transform of an augmentation that a method or a base kind brings in place of the protocol's.

    One that changes nothing is the transform of testing: it takes the images as they are tested (`DeviceImages.under`), without the
    random window that `train_size` leaves room for.
    """
    return Transform(data.model_copy(update={"train_size": None}) if augment == Augment() else data, augment, size)


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
    """Random choices for N images. None stands where the augmentation has no such choice. All are sent to the device but `operations`."""

    offsets: Tensor  # of the crop, [2, N]: row, column
    flips: Tensor  # [N]
    factors: Tensor  # of the jitter, [3, N]: brightness, contrast, saturation
    turns: Tensor | None = None  # of the hue, [N]
    boxes: Tensor | None = None  # of the resized crop, [4, N]: top, left, height, width
    operations: Tensor | None = None  # of AutoAugment, [2, N]
    magnitudes: Tensor | None = None  # of these, [2, N], float64
    greys: Tensor | None = None  # [N]
    holes: Tensor | None = None  # centres of the cutout, [2, N]: row, column

    @property
    def chosen(self) -> dict[str, Tensor]:
        """Those that there are, by name. The last dimension is the image."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def at(self, index: slice) -> Draws:
        return Draws(**{name: value[..., index] for name, value in self.chosen.items()})

    @staticmethod
    def cat(several: Sequence[Draws]) -> Draws:
        """Concatenates several draws of one augmentation."""
        return Draws(**{name: torch.cat([draws.chosen[name] for draws in several], dim=-1) for name in several[0].chosen})

    def to(self, device: torch.device) -> Draws:
        return Draws(**{name: value if name == "operations" else sent(value, device) for name, value in self.chosen.items()})
