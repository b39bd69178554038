"""What an augmentation draws, in which order it is done, and several views of the same images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.data import autoaugment
from benchmarks.data.batches import Batches
from benchmarks.data.colour import grey_levels, jitter, turn_hue
from benchmarks.data.geometry import crop, cutout, resized_crop
from benchmarks.data.transforms import Draws, Transform
from benchmarks.system.streams import torch_seed
from protocols.schema import Augment, Data

TODAY = Augment(pad=2, flip=True, jitter=0.4)
LATER: list[dict[str, Any]] = [
    {"hue": 0.1},
    {"pad": 0, "scale": (0.25, 1)},
    {"scale": (0.25, 1), "ratio": (1, 1), "crop_or_resized": True},
    {"autoaugment": "cifar10"},
    {"autoaugment": "imagenet", "autoaugment_p": 0.5},
    {"grey": 0.2},
    {"cutout": 4},
]
FULL = {"hue": 0.1, "jitter_p": 0.8, "scale": (0.25, 1), "crop_or_resized": True, "autoaugment": "cifar10", "autoaugment_p": 0.5}
FULL |= {"grey": 0.2, "cutout": 4}


def augment_of(**changes: object) -> Augment:
    return Augment.model_validate({**TODAY.model_dump(), **changes})


def transform_of(augment: Augment, train_size: int | None = None, size: int | None = None) -> Transform:
    return Transform(Data(source="cifar100", size=8, train_size=train_size, mean=(0.5,) * 3, std=(0.2,) * 3), augment, size)


def images(count: int, side: int = 8) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(side), dtype=torch.uint8)


def drawn(transform: Transform, count: int = 40) -> Draws:
    return transform.draw(count, torch.Generator().manual_seed(3))


def test_the_first_draws_are_these() -> None:
    """Whatever is added later: else every trained base model would be another."""
    generator = torch.Generator().manual_seed(3)
    offsets = torch.randint(0, 5, (2, 40), generator=generator)
    flips = torch.rand(40, generator=generator) < 0.5
    factors = 1 + 0.4 * (2 * torch.rand(3, 40, generator=generator) - 1)
    found = drawn(transform_of(TODAY))
    assert list(found.chosen) == ["offsets", "flips", "factors"]
    for draws in (found, *(drawn(transform_of(augment_of(**changes))) for changes in LATER if changes.get("pad") != 0)):
        assert torch.equal(draws.offsets, offsets)
        assert torch.equal(draws.flips, flips)
        assert torch.equal(draws.factors, factors)


@pytest.mark.parametrize("train_size", [None, 12])
@pytest.mark.parametrize("changes", [*LATER, FULL], ids=lambda changes: " ".join(changes))
def test_what_is_drawn_is_done_in_this_order(changes: dict[str, object], train_size: int | None) -> None:
    """Crop, flip, AutoAugment, jitter, hue, grey scale, cutout: each image as if it were alone."""
    transform = transform_of(augment_of(**changes), train_size)
    batch, draws, a = images(40, train_size or 8), drawn(transform), transform.augment
    before = batch.clone()
    found = transform.apply(batch, draws)
    assert torch.equal(batch, before)
    for index in range(40):
        own, x = draws.at(slice(index, index + 1)), batch[index : index + 1]
        x = crop(x, a.pad, 8, own.offsets) if own.boxes is None else resized_crop(x, own.boxes, 8)
        x = x.flip(-1) if own.flips else x
        if own.operations is not None and own.magnitudes is not None:
            x = autoaugment.applied(x, own.operations, own.magnitudes)
        x = jitter(x, own.factors)
        x = x if own.turns is None else turn_hue(x, own.turns)
        x = x if own.greys is None or not own.greys else grey_levels(x).to(torch.uint8).expand(-1, 3, -1, -1)
        x = x if own.holes is None else cutout(x, a.cutout, own.holes)
        assert torch.equal(found[index], transform.normalise(x)[0])


def test_draws_have_the_probabilities_that_are_set() -> None:
    draws = drawn(transform_of(augment_of(**FULL), train_size=12), 4000)
    assert draws.boxes is not None and draws.turns is not None and draws.operations is not None
    assert draws.greys is not None and draws.holes is not None
    still = (draws.factors == 1).all(dim=0)
    assert torch.equal(still, draws.turns == 0)
    assert draws.turns.abs().max() <= 0.1
    windows = (draws.boxes[2:] == 8).all(dim=0) & (draws.boxes[:2] == draws.offsets - 2).all(dim=0)
    areas = (draws.boxes[2] * draws.boxes[3])[~windows] / 144
    assert areas.min() > 0.2 and areas.max() == 1
    idle = (draws.operations == 0).all(dim=0).float().mean()
    assert 0.5 < idle < 0.7, "half of them, and those whose sub-policy did nothing"
    assert draws.holes.min() == 0 and draws.holes.max() == 7
    for share, expected in ((still, 0.2), (windows, 0.5), (draws.greys, 0.2)):
        assert abs(share.float().mean() - expected) < 0.04


def test_a_window_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="no window of 16 pixels fits into images of 8 with pad 2; give scale"):
        transform_of(TODAY, size=16)
    larger = transform_of(augment_of(pad=0, scale=(0.5, 1)), size=16)
    assert larger.apply(images(3), drawn(larger, 3)).shape == (3, 3, 16, 16)


def batches_of(count: int, *more: Transform, **options: object) -> Batches:
    labels = torch.arange(count) + 100
    return Batches(images(count), labels, torch.arange(count), transform_of(TODAY), 16, 3, "base", more=more, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [20, 600], ids=["many epochs a piece", "two pieces"])
@pytest.mark.parametrize("views", [None, 2])
def test_further_views_stand_beside_the_first(count: int, views: int | None) -> None:
    """Each of the same images in the same order, by its own augmentation, size and stream; the first is what it is alone."""
    more = (transform_of(TODAY), transform_of(augment_of(**FULL), size=5))
    alone, several = batches_of(count, views=views), batches_of(count, *more, views=views)
    for epoch in range(3):
        shown = epoch % views if views else epoch
        generator = torch.Generator().manual_seed(torch_seed(3, f"base/epoch{shown}"))
        order = torch.randperm(count, generator=generator)
        single, found = list(alone), list(several)
        assert len(found) == len(single) == len(several)
        for batch, (x, y, zeros) in zip(found, single, strict=True):
            assert all(torch.equal(mine, theirs) for mine, theirs in zip((batch[0], *batch[3:]), (x, y, zeros), strict=True))
        for number, transform in enumerate(more, 2):
            generator = torch.Generator().manual_seed(torch_seed(3, f"base/view{number}/epoch{shown}"))
            expected = transform.apply(several.images[order], transform.draw(count, generator))
            assert torch.equal(torch.cat([batch[number - 1] for batch in found]), expected)


def test_a_frozen_part_is_shown_every_view() -> None:
    found = next(iter(batches_of(20, transform_of(TODAY), frozen_part=lambda x: x.mean(dim=(2, 3)))))
    assert [part.shape for part in found] == [(16, 3), (16, 3), (16,), (16,)]
    assert not torch.equal(found[0], found[1])
