"""Operations on whole batches against torchvision's on the same images, boxes and magnitudes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import autoaugment as torchvisions
from torchvision.transforms.v2 import functional as reference

from benchmarks.data import autoaugment, geometry
from benchmarks.data.autoaugment import LEVELS, OPERATIONS, magnitude_of
from benchmarks.data.colour import equalize, grey_levels, turn_hue
from benchmarks.data.geometry import TRIES, boxes_of, cutout, resized_crop
from protocols.augment import Policy

EXACT = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Posterize", "Solarize", "Equalize", "Invert"}
TIES = {"ShearX": {2, 6}, "ShearY": {2, 6}, "Rotate": {9}}
"""Levels at which a place may lie in the middle of two pixels, so that rounding chooses: a shear's, and 30 degrees about a pixel."""


def pictures(count: int, side: int, channels: int = 3) -> Tensor:
    """Noise, smooth pictures, dark ones that use few levels, and one of a single level."""
    generator = torch.Generator().manual_seed(side)
    noise = torch.randint(0, 256, (count, channels, side, side), generator=generator)
    smooth = torch.nn.functional.interpolate(noise[:, :, :6, :6].float(), size=(side, side), mode="bilinear").long()
    mixed = torch.where(torch.arange(count).view(-1, 1, 1, 1) % 2 == 0, noise, smooth)
    mixed[count // 2 :] = mixed[count // 2 :] // 5 + 20
    mixed[0] = 77
    return mixed.to(torch.uint8)


def difference(found: Tensor, expected: Tensor) -> Tensor:
    assert found.dtype == expected.dtype == torch.uint8
    assert found.shape == expected.shape
    return (found.int() - expected.int()).abs()


@pytest.mark.parametrize(("side", "size"), [(32, 32), (33, 20), (20, 33), (84, 32), (9, 2), (5, 48)])
def test_a_resized_crop_is_torchvisions(side: int, size: int) -> None:
    """A rounding apart: torchvision's weights have fewer digits."""
    batch, generator = pictures(40, side), torch.Generator().manual_seed(1)
    starts = torch.randint(0, side, (2, 40), generator=generator)
    boxes = torch.cat([starts, 1 + (torch.rand(2, 40, generator=generator) * (side - starts)).long()])
    boxes[:, 1], boxes[:, 2] = torch.tensor([0, 0, side, side]), torch.tensor([side - 1, 0, 1, side])
    found = resized_crop(batch, boxes, size)
    expected = [reference.resized_crop(i, *box, size=[size, size], antialias=True) for i, box in zip(batch, boxes.T.tolist(), strict=True)]
    apart = difference(found, torch.stack(expected))
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 0.1


def test_a_box_of_the_same_size_is_copied_and_black_beyond_the_edge() -> None:
    """So that a padded crop is such a box."""
    batch, offsets = pictures(81, 8), torch.cartesian_prod(torch.arange(9), torch.arange(9)).T
    boxes = torch.cat([offsets - 4, torch.full((2, 81), 8)])
    assert torch.equal(resized_crop(batch, boxes, 8), geometry.crop(batch, 4, 8, offsets))


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [
        ((0.08, 1), (3 / 4, 4 / 3)),
        ((0.25, 1), (1, 1)),
        ((0.9, 1), (0.5, 2)),
        ((0.9, 1), (1.5, 3)),
        ((0.9, 1), (0.3, 0.6)),
        ((0.001, 0.01), (1, 1)),
    ],
)
@pytest.mark.parametrize("side", [32, 33])
def test_boxes_are_torchvisions(scale: tuple[float, float], ratio: tuple[float, float], side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same draws, also where no try fits into the image."""
    generator = torch.Generator().manual_seed(side)
    tries, places = torch.rand(2, TRIES, 200, generator=generator), torch.rand(2, 200, generator=generator)
    found = boxes_of(tries, places, side, scale, ratio)
    assert found.dtype == torch.int64
    theirs = v2.RandomResizedCrop(side, scale=scale, ratio=ratio)
    for index in range(200):
        uniform, place = iter(tries[:, :, index].T.flatten().tolist()), iter(places[:, index].tolist())
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "uniform_", lambda self, a, b, draws=uniform: self.fill_(a + (b - a) * next(draws)))
            patched.setattr(torch, "randint", lambda low, high, size, draws=place: torch.tensor([int(next(draws) * high)]))
            box = theirs.make_params([torch.zeros(3, side, side)])
        assert found[:, index].tolist() == [box["top"], box["left"], box["height"], box["width"]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions(name: str, channels: int) -> None:
    """At every magnitude and sign: equal, or, where fractions are cut off, less than a level apart before."""
    theirs = v2.AutoAugment(interpolation=InterpolationMode.NEAREST)
    for side in (2, 13, 32):
        batch = pictures(8, side, channels)
        magnitudes, signed = theirs._AUGMENTATION_SPACE[name]
        values = magnitudes(LEVELS, side, side)
        assert signed == OPERATIONS[name].signed
        for level, sign in itertools.product(range(1 if values is None else LEVELS), (1, -1) if signed else (1,)):
            if level in TIES.get(name, ()):
                continue
            own, value = magnitude_of(name, level, side), 0.0 if values is None else float(values[level])
            found = OPERATIONS[name].run(batch, torch.full((8,), sign * own, dtype=torch.float64))
            applied = [
                theirs._apply_image_or_video_transform(i, name, sign * value, InterpolationMode.NEAREST, theirs._fill) for i in batch
            ]
            assert difference(found, torch.stack(applied)).max() <= (name not in EXACT), (side, level, sign)


def test_each_image_has_its_own_magnitude() -> None:
    batch = pictures(9, 16)
    for name, operation in OPERATIONS.items():
        sizes = torch.tensor([magnitude_of(name, level, 16) for level in range(9)], dtype=torch.float64)
        before = batch.clone()
        found = operation.run(batch, sizes)
        assert torch.equal(batch, before)
        for index in range(9):
            assert torch.equal(found[index], operation.run(batch[index : index + 1], sizes[index : index + 1])[0]), name


def test_equalize_by_hand() -> None:
    """510 dark pixels and 2 bright ones: a step is 2 pixels, so the bright level becomes (510 + 1) / 2."""
    batch = torch.tensor([10] * 510 + [20] * 2, dtype=torch.uint8).view(1, 1, 16, 32)
    assert equalize(batch).unique().tolist() == [0, 255]
    few = torch.tensor([10] * 100 + [20] * 412, dtype=torch.uint8).view(1, 1, 16, 32)
    assert torch.equal(equalize(few), few)


@pytest.mark.parametrize("policy", ["cifar10", "imagenet"])
def test_a_policy_is_torchvisions(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same operations with the same magnitudes in the same order, on the same draws."""
    found = autoaugment.drawn(policy, 32, 600, torch.Generator().manual_seed(5))
    again = torch.Generator().manual_seed(5)
    chosen, used = torch.randint(25, (600,), generator=again), torch.rand(2, 600, generator=again)
    signs = (torch.rand(2, 600, generator=again) >= 0.5).long()
    assert len(set(chosen.tolist())) == 25
    done: list[tuple[str, float]] = []

    def apply(image: Tensor, name: str, magnitude: float, **_: object) -> Tensor:
        done.append((name, magnitude))
        return image

    monkeypatch.setattr(torchvisions, "_apply_op", apply)
    theirs, names = torchvisions.AutoAugment(torchvisions.AutoAugmentPolicy(policy)), list(OPERATIONS)
    for index in range(600):
        done.clear()
        monkeypatch.setattr(theirs, "get_params", lambda _, i=index: (int(chosen[i]), used[:, i], signs[:, i]))
        theirs(torch.zeros(3, 32, 32, dtype=torch.uint8))
        pairs = [(names[number - 1], size) for number, size in zip(*(part[:, index].tolist() for part in found), strict=True) if number]
        assert [name for name, _ in pairs] == [name for name, _ in done]
        for (name, size), (_, magnitude) in zip(pairs, done, strict=True):
            assert (round(size) if name == "Posterize" else size) == pytest.approx(magnitude, rel=1e-6)


def test_a_policy_is_applied_to_the_images_that_drew_it() -> None:
    """Both operations, one after the other; those that drew none stay."""
    batch, (numbers, sizes) = pictures(60, 16), autoaugment.drawn("imagenet", 16, 60, torch.Generator().manual_seed(0))
    before, operations = batch.clone(), list(OPERATIONS.values())
    found = autoaugment.applied(batch, numbers, sizes)
    assert torch.equal(batch, before)
    for index in range(60):
        image = batch[index : index + 1]
        for number, size in zip(numbers[:, index].tolist(), sizes[:, index : index + 1], strict=True):
            image = operations[number - 1].run(image, size) if number else image
        assert torch.equal(found[index], image[0])
    assert (numbers == 0).all(dim=0).any()


def test_no_policy_has_a_shear_at_which_rounding_chooses() -> None:
    for policy in ("cifar10", "imagenet"):
        pairs = torchvisions.AutoAugment(torchvisions.AutoAugmentPolicy(policy)).policies
        assert all(level not in TIES[name] for pair in pairs for name, _, level in pair if name.startswith("Shear"))


def test_grey_levels_are_torchvisions() -> None:
    batch = pictures(20, 16)
    assert difference(grey_levels(batch).to(torch.uint8), reference.rgb_to_grayscale(batch)).max() <= 1
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert torch.equal(grey_levels(white).to(torch.uint8), white[:, :1]), "torchvision has 254"


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.07, 0.5])
def test_hue_is_torchvisions(turn: float) -> None:
    batch = pictures(20, 16)
    found = turn_hue(batch, torch.full((20,), turn))
    expected = torch.stack([reference.adjust_hue(image, turn) for image in batch])
    assert difference(found, expected).max() <= 1
    if turn == 0:
        assert torch.equal(found, batch)


@pytest.mark.parametrize("side", [1, 4, 5, 16])
def test_cutout_is_a_black_square(side: int) -> None:
    batch = 1 + pictures(144, 12) // 2
    centres = torch.cartesian_prod(torch.arange(12), torch.arange(12)).T
    found = cutout(batch, side, centres)
    for image, (row, column), cut in zip(batch, centres.T.tolist(), found, strict=True):
        expected, top, left = image.clone(), row - side // 2, column - side // 2
        expected[:, max(0, top) : top + side, max(0, left) : left + side] = 0
        assert torch.equal(cut, expected)


@pytest.mark.parametrize("name", ["ShearX", "TranslateY", "Rotate"])
def test_what_comes_from_outside_is_black(name: str) -> None:
    move: Callable[[Tensor, Tensor], Tensor] = OPERATIONS[name].run
    moved = move(torch.full((1, 1, 16, 16), 9, dtype=torch.uint8), torch.tensor([magnitude_of(name, 9, 16)], dtype=torch.float64))
    assert moved.unique().tolist() == [0, 9]
