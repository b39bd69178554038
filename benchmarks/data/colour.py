"""What becomes of the grey levels of whole uint8 batches [N, C, H, W]: torchvision's colour operations, each image by its own factor.

Equal to torchvision's on the same image and factor within one grey level (luma is rounded, as in PIL, where torchvision cuts it off).
Sums are of whole numbers, so an image comes out the same in any batch; `jitter` is as it was. Factors are float64 [N].
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.data.tensors import constants


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


def grey_levels(images: Tensor) -> Tensor:
    """`grey` in whole levels: float32 [N, 1, H, W], rounded."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.float().split(1, dim=1)
    return (299 * red + 587 * green + 114 * blue + 500).div_(1000).floor_()  # sums of whole numbers: no tie hangs on rounding


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turns the hue of images in colour by `turns` [N], from -0.5 to 0.5 of the colour circle."""
    x = images.float()
    value, spread = x.amax(dim=1), x.amax(dim=1) - x.amin(dim=1)
    red, green, blue = x.unbind(dim=1)
    sixth = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    ) / spread.clamp(min=1)
    turned = sixth + 6 * turns.to(x).view(-1, 1, 1)
    steps = [(start + turned).remainder_(6) for start in (5, 3, 1)]
    return torch.stack([value - spread * step.minimum(4 - step).clamp_(0, 1) for step in steps], dim=1).round_().to(torch.uint8)


def blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """`factors` of the images and the rest of the others, from which factors above 1 lead away."""
    own, rest = (share.float().view(-1, 1, 1, 1) for share in (factors, 1 - factors))
    return (images * own + others * rest).clamp_(0, 255).to(torch.uint8)


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Between black (0) and the image (1), and beyond."""
    return blend(images, images.new_zeros(()), factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Between grey scale (0) and the image (1), and beyond."""
    return images if images.shape[1] == 1 else blend(images, grey_levels(images), factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Between the image's mean grey level (0) and the image (1), and beyond."""
    return blend(images, grey_levels(images).double().mean(dim=(2, 3), keepdim=True).float(), factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Between the smoothed image (0) and the image (1), and beyond. Smoothed: the mean of 3 x 3 pixels, the middle one five times."""
    if min(images.shape[-2:]) <= 2:
        return images
    x = images.float()
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    inner = x[..., 1:-1, 1:-1]
    smooth = ((rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) / 13).round_()
    inner += (smooth - inner) * (1 - factors).float().view(-1, 1, 1, 1)  # the edge stays
    return x.clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest bits of each level; bits [N], int64, 0 to 8."""
    return images & (256 - 2 ** (8 - bits)).to(torch.uint8).view(-1, 1, 1, 1)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Inverts the levels from each image's threshold [N] on."""
    return torch.where(images >= thresholds.view(-1, 1, 1, 1), images.bitwise_not(), images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretches the levels of each channel to 0 ... 255; a channel of one level stays."""
    x = images.int()
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    stretched = (255 * (x - low)).div_((high - low).clamp(min=1), rounding_mode="floor")
    return torch.where(high > low, stretched, x).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Spreads the levels of each channel so that all are about equally frequent, by the rule of PIL.

    Level v becomes (number of pixels below v + step / 2) / step, where a step is a 255th of the pixels that are not of the highest
    level. A channel with fewer than 255 such pixels stays.
    """
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(dim=2, keepdim=True))
    step = (flat.shape[2] - last) // 255
    below = counts.cumsum(dim=2) - counts
    new = ((below + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    return torch.where(step > 0, new.gather(2, flat), flat).to(torch.uint8).view_as(images)
