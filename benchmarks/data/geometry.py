"""Where the pixels of whole uint8 batches [N, C, H, W] come from: crop, resized crop, shear, translation, rotation, cutout.

Every image has its own numbers. Sums are of whole numbers, so an image comes out the same in any batch and on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TRIES = 10
"""Boxes that are drawn for a resized crop before the whole image is taken, as in torchvision."""
UNIT = 2**16
"""A weight of 1 in a resampling matrix. With it, sums of products with grey levels stay below 2^24, so float32 holds them exactly."""


def crop(images: Tensor, pad: int, size: int, offsets: Tensor) -> Tensor:
    """Cuts a size x size window out of every zero-padded image at its own offsets [2, N] (rows, columns)."""
    if pad == 0 and images.shape[-1] == size:
        return images
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: only the chosen windows are copied
    picked = windows[torch.arange(len(images), device=images.device), :, offsets[0], offsets[1]]
    return picked


def boxes_of(tries: Tensor, places: Tensor, side: int, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """The boxes [4, N] (top, left, height, width) of resized crops of side x side images, as torchvision's RandomResizedCrop has them.

    `tries` [2, TRIES, N] (area, shape) and `places` [2, N] (top, left) are uniform draws from 0 to 1. The first try that fits into
    the image is taken; if none does, the largest box in the middle whose shape is within `ratio`.
    """
    low, high = (math.log(limit) for limit in ratio)
    area = side**2 * (scale[0] + (scale[1] - scale[0]) * tries[0].double())
    shape = (low + (high - low) * tries[1].double()).exp()
    heights, widths = (area / shape).sqrt().round(), (area * shape).sqrt().round()
    fits = (heights.minimum(widths) >= 1) & (heights.maximum(widths) <= side)
    first = fits.int().argmax(dim=0, keepdim=True)
    height, width = heights.gather(0, first)[0], widths.gather(0, first)[0]
    top, left = ((places.double() * (side + 1 - torch.stack([height, width]))).floor()).unbind()
    tall, wide = round(side / max(1.0, ratio[0])), round(side * min(1.0, ratio[1]))
    middle = ((side - tall) // 2, (side - wide) // 2, tall, wide)
    drawn = zip((top, left, height, width), middle, strict=True)
    return torch.stack([torch.where(fits.any(dim=0), own, other) for own, other in drawn]).long()


def resampling(starts: Tensor, lengths: Tensor, side: int, size: int) -> Tensor:
    """Matrices [N, side, size] that resize the pixels `starts` to `starts + lengths` of a row of `side` to `size`, in units of 1 / UNIT.

    Bilinear with antialiasing: a triangle as wide as a new pixel, if that is larger than an old one. Pixels outside the row are 0.
    """
    stretch = (lengths.float() / size).view(-1, 1, 1)
    centres = stretch * (torch.arange(size, device=starts.device) + 0.5)
    places = (torch.arange(side, device=starts.device) - starts.view(-1, 1) + 0.5).unsqueeze(2)
    inside = (places > 0) & (places < lengths.view(-1, 1, 1))
    weights = (UNIT * (1 - (places - centres).abs() / stretch.clamp(min=1))).round_().clamp_(min=0) * inside
    return (UNIT * weights / weights.sum(dim=1, keepdim=True).clamp_(min=1)).round_()


def resized_crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Resizes each image's box [4, N] (top, left, height, width) to size x size. A box may reach beyond the image, where it is black.

    Equal to torchvision's `resized_crop` on uint8 (bilinear, antialiased) within one grey level; rows first, then columns.
    """
    count, channels, height, width = images.shape
    across, down = resampling(boxes[1], boxes[3], width, size), resampling(boxes[0], boxes[2], height, size)
    x = in_levels(torch.bmm(images.reshape(count, channels * height, width).float(), across))
    x = torch.matmul(down.transpose(1, 2).unsqueeze(1), x.view(count, channels, height, size))
    return in_levels(x).to(torch.uint8)


def in_levels(sums: Tensor) -> Tensor:
    """Rounds sums of weights times grey levels to grey levels."""
    return sums.add_(UNIT // 2).div_(UNIT).floor_()


def shear(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Shears by `across` columns a row and `down` rows a column, both [N], about the upper left corner."""
    height, width = images.shape[-2:]
    one = torch.ones_like(across)
    return moved(images, torch.stack([one, across, across * height / 2, down, one, down * width / 2]))


def translate(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Moves by `across` columns to the right and `down` rows down, both [N] and whole."""
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    return moved(images, torch.stack([one, zero, -across, zero, one, -down]))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotates counter-clockwise by `degrees` [N] about the middle."""
    angles, zero = degrees.deg2rad(), torch.zeros_like(degrees)
    cos, sin = angles.cos(), angles.sin()
    return moved(images, torch.stack([cos, -sin, zero, sin, cos, zero]))


def moved(images: Tensor, matrices: Tensor) -> Tensor:
    """Takes each new pixel from the nearest old one at the place that the matrices [6, N] give: x' = ax + by + c, y' = dx + ey + f.

    Places are measured from the middle of the image, in pixels; black where they lie outside. In float64, for the nearest pixel
    must not depend on rounding.
    """
    count, channels, height, width = images.shape
    a, b, c, d, e, f = (row.double().view(-1, 1, 1) for row in matrices)
    x = torch.arange(width, device=images.device, dtype=torch.float64) - (width - 1) / 2
    y = (torch.arange(height, device=images.device, dtype=torch.float64) - (height - 1) / 2).unsqueeze(1)
    columns = (a * x + (b * y + c + (width - 1) / 2)).round_()
    rows = (d * x + (e * y + f + (height - 1) / 2)).round_()
    outside = (columns < 0) | (columns >= width) | (rows < 0) | (rows >= height)
    sources = (rows * width + columns).masked_fill_(outside, 0).long().view(count, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, sources).view_as(images).masked_fill_(outside.unsqueeze(1), 0)


def cutout(images: Tensor, side: int, centres: Tensor) -> Tensor:
    """Blackens a square of side x side pixels about each image's centre [2, N] (row, column), cut off at the edges (arXiv 1708.04552)."""
    first = (centres - side // 2).unsqueeze(2)
    rows, columns = (
        (place >= start) & (place < start + side)
        for place, start in zip((torch.arange(length, device=images.device) for length in images.shape[-2:]), first, strict=True)
    )
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0)
