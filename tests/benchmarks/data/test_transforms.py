"""Whole-batch transforms against plain per-image references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from benchmarks.data.colour import jitter
from benchmarks.data.geometry import crop
from benchmarks.data.transforms import Transform
from protocols.schema import Augment, Data

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ADJUSTMENTS = (reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation)  # in the suite's order


def images(count: int, channels: int, side: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, channels, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def data_of(size: int, train_size: int | None = None, channels: int = 3) -> Data:
    return Data(source="cifar100", size=size, train_size=train_size, channels=channels, mean=MEAN[:channels], std=STD[:channels])


@pytest.mark.parametrize(
    ("stored", "pad", "size"),
    [(8, 2, 8), (8, 4, 8), (8, 0, 8), (12, 0, 8), (12, 3, 8), (5, 4, 9), (9, 1, 1)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_is_a_window_of_the_zero_padded_image(stored: int, pad: int, size: int, channels: int) -> None:
    batch = images(50, channels, stored)
    room = stored + 2 * pad - size
    offsets = torch.randint(0, room + 1, (2, 50), generator=torch.Generator().manual_seed(1))
    offsets[:, 0], offsets[:, 1] = 0, room  # both corners
    found = crop(batch, pad, size, offsets)
    assert found.dtype == torch.uint8
    for image, (row, column), cut in zip(batch.numpy(), offsets.T.tolist(), found.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        assert np.array_equal(cut, padded[:, row : row + size, column : column + size])


def test_crop_leaves_its_input_alone() -> None:
    batch = images(4, 3, 8)
    before = batch.clone()
    crop(batch, 0, 8, torch.zeros(2, 4, dtype=torch.int64)).sum()
    crop(batch, 2, 8, torch.zeros(2, 4, dtype=torch.int64)).fill_(0)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_torchvisions(channels: int) -> None:
    """All three adjustments of each image, without torchvision's truncation after every one: a rounding apart."""
    batch = images(60, channels, 12)
    factors = 1 + 0.4 * (2 * torch.rand(3, 60, generator=torch.Generator().manual_seed(1)) - 1)
    found = jitter(batch, factors)
    assert found.dtype == torch.uint8
    for image, own, result in zip(batch, factors.T.tolist(), found, strict=True):
        expected = image.to(torch.float32) / 255
        for adjust, factor in zip(ADJUSTMENTS, own, strict=True):
            expected = adjust(expected, factor)
        assert (result - 255 * expected).abs().max() < 0.6  # 0.5 of rounding; torchvision's red weight is .2989 for .299


@pytest.mark.parametrize("which", [0, 1, 2], ids=["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_adjustment_is_torchvisions_on_uint8(which: int, factor: float, channels: int) -> None:
    batch = images(30, channels, 12)
    factors = torch.ones(3, 30)
    factors[which] = factor
    expected = torch.stack([ADJUSTMENTS[which](image, factor) for image in batch])
    difference = (jitter(batch, factors).to(torch.int16) - expected.to(torch.int16)).abs()
    assert difference.max() <= 1


def test_normalise_is_the_formula_and_torchvisions() -> None:
    batch = images(6, 3, 9)
    found = Transform(data_of(9), Augment()).normalise(batch)
    mean, std = (np.array(values, dtype=np.float64).reshape(3, 1, 1) for values in (MEAN, STD))
    formula = torch.from_numpy((batch.numpy() / 255 - mean) / std)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), formula, atol=1e-6)
    assert torch.allclose(found, v2.Normalize(MEAN, STD)(v2.functional.to_dtype(batch, torch.float32, scale=True)), atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_normalise_leaves_its_input_alone() -> None:
    batch = images(6, 3, 9)
    before = batch.clone()
    Transform(data_of(9), Augment()).normalise(batch)
    assert torch.equal(batch, before)


@pytest.mark.parametrize(("size", "train_size", "pad"), [(8, None, 2), (8, 12, 0), (8, 12, 1), (8, None, 0)])
def test_draws_reach_every_place_and_no_other(size: int, train_size: int | None, pad: int) -> None:
    """Offsets are uniform over all windows, one image in two is flipped, factors lie within 1 +- jitter."""
    room = (train_size or size) + 2 * pad - size
    transform = Transform(data_of(size, train_size), Augment(pad=pad, flip=True, jitter=0.4))
    draws = transform.draw(4000, torch.Generator().manual_seed(0))
    for offsets in draws.offsets:
        share = torch.bincount(offsets, minlength=room + 1) / 4000
        assert len(share) == room + 1
        assert torch.allclose(share, torch.full_like(share, 1 / (room + 1)), atol=0.04)
    assert abs(draws.flips.float().mean() - 0.5) < 0.04
    assert draws.factors.shape == (3, 4000)
    assert 0.6 <= draws.factors.min() < 0.61
    assert 1.39 < draws.factors.max() <= 1.4


@pytest.mark.parametrize("train_size", [None, 12])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_apply_crops_flips_jitters_and_normalises_each_image(train_size: int | None, flip: bool, strength: float) -> None:
    transform = Transform(data_of(8, train_size), Augment(pad=2, flip=flip, jitter=strength))
    batch = images(40, 3, train_size or 8)
    draws = transform.draw(40, torch.Generator().manual_seed(3))
    found = transform.apply(batch, draws)
    for index, image in enumerate(batch):
        row, column = draws.offsets[:, index].tolist()
        padded = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)))
        expected = torch.from_numpy(padded[:, row : row + 8, column : column + 8].copy())
        if flip and draws.flips[index]:
            expected = expected.flip(-1)
        if strength:
            expected = jitter(expected[None], draws.factors[:, index : index + 1])[0]
        assert torch.equal(found[index], transform.normalise(expected[None])[0])


def test_no_augmentation_is_the_test_transform() -> None:
    transform = Transform(data_of(8), Augment())
    batch = images(10, 3, 8)
    assert torch.equal(transform.apply(batch, transform.draw(10, torch.Generator())), transform.normalise(batch))
