"""AutoAugment (Cubuk et al., CVPR 2019, arXiv 1805.09501) on whole uint8 batches: each operation on the images that drew it.

Sub-policies, magnitudes and signs are torchvision's. Its images are turned and moved by the nearest pixel, with black around them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.data import colour, geometry
from benchmarks.data.tensors import sent
from protocols.augment import Policy

LEVELS = 10
"""Magnitudes that an operation may have."""


class Operation(NamedTuple):
    """`run(images, magnitudes [N])`, and the magnitudes from the lowest level to the highest.

    With `signed`, either sign is as likely; with `of_side`, magnitudes are shares of the image's side.
    """

    run: Callable[[Tensor, Tensor], Tensor]
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    of_side: bool = False


def factor_of(adjust: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """An operation that changes a factor of 1 by the magnitude."""
    return Operation(lambda images, magnitudes: adjust(images, 1 + magnitudes), high=0.9, signed=True)


def moving(move: Callable[[Tensor, Tensor, Tensor], Tensor], high: float, down: bool, whole: bool = False) -> Operation:
    """An operation that moves pixels across or down, by whole pixels if `whole`; then its magnitudes are shares of the side."""

    def run(images: Tensor, magnitudes: Tensor) -> Tensor:
        by, zero = magnitudes.trunc() if whole else magnitudes, torch.zeros_like(magnitudes)
        return move(images, zero, by) if down else move(images, by, zero)

    return Operation(run, high=high, signed=True, of_side=whole)


OPERATIONS = {
    "ShearX": moving(geometry.shear, 0.3, down=False),
    "ShearY": moving(geometry.shear, 0.3, down=True),
    "TranslateX": moving(geometry.translate, 150 / 331, down=False, whole=True),
    "TranslateY": moving(geometry.translate, 150 / 331, down=True, whole=True),
    "Rotate": Operation(geometry.rotate, high=30.0, signed=True),
    "Brightness": factor_of(colour.brightness),
    "Color": factor_of(colour.saturation),
    "Contrast": factor_of(colour.contrast),
    "Sharpness": factor_of(colour.sharpness),
    "Posterize": Operation(lambda images, bits: colour.posterize(images, bits.round().long()), low=8.0, high=4.0),
    "Solarize": Operation(colour.solarize, low=255.0),
    "AutoContrast": Operation(lambda images, _: colour.autocontrast(images)),
    "Equalize": Operation(lambda images, _: colour.equalize(images)),
    "Invert": Operation(lambda images, _: images.bitwise_not()),
}
"""By the names that policies use. A drawn operation is its number here, from 1; 0 is none."""


def magnitude_of(name: str, level: int, side: int) -> float:
    """The operation's magnitude at a level, for images of side x side pixels; in float32, as in torchvision."""
    operation = OPERATIONS[name]
    high = operation.high * side if operation.of_side else operation.high
    return float(torch.linspace(operation.low, high, LEVELS)[level])


class Table(NamedTuple):
    """A policy's sub-policies, P of them with two operations each: all [2, P]."""

    operations: Tensor
    probabilities: Tensor
    magnitudes: Tensor
    signed: Tensor


@cache
def table_of(policy: Policy, side: int) -> Table:
    """The policy for images of side x side pixels, read from torchvision."""
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    names, pairs = list(OPERATIONS), AutoAugment(AutoAugmentPolicy(policy)).policies
    rows = [
        [
            (names.index(name) + 1, probability, magnitude_of(name, level or 0, side), OPERATIONS[name].signed)
            for name, probability, level in stage
        ]
        for stage in zip(*pairs, strict=True)
    ]
    operations, probabilities, magnitudes, signed = torch.tensor(rows, dtype=torch.float64).unbind(2)
    return Table(operations.long(), probabilities, magnitudes, signed.bool())


def drawn(policy: Policy, side: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Operations [2, count], the second done after the first, and their magnitudes: a sub-policy for every image."""
    table = table_of(policy, side)
    chosen = torch.randint(table.operations.shape[1], (count,), generator=generator)
    used = torch.rand(2, count, generator=generator) <= table.probabilities[:, chosen]
    negative = (torch.rand(2, count, generator=generator) < 0.5) & table.signed[:, chosen]
    magnitudes = table.magnitudes[:, chosen]
    return table.operations[:, chosen] * used, torch.where(negative, -magnitudes, magnitudes)


def applied(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """The images after their operations [2, N]. `operations` is on the CPU, so that no device is waited for to form the groups."""
    images = images.clone()
    for numbers, sizes in zip(operations, magnitudes, strict=True):
        counts = numbers.bincount(minlength=len(OPERATIONS) + 1).tolist()
        groups = sent(numbers.argsort(stable=True), images.device).split(counts)
        for operation, group in zip(OPERATIONS.values(), groups[1:], strict=True):
            if len(group):
                images[group] = operation.run(images[group], sizes[group])
    return images
