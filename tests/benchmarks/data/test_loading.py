"""Batches that depend on their stream alone, not on how they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Draws, Transform, embedding_size, piece_size
from benchmarks.system.streams import torch_seed
from protocols.schema import Augment, Data
from tests.benchmarks.data.test_transforms import data_of, images


def batches_of(rows: Tensor, batch: int = 16, augment: Augment | None = None, seed: int = 0, name: str = "base") -> Batches:
    """Over 40 images, each of one grey level: its own row number. Its label is 100 more."""
    pixels = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(40, 1, 8, 8).contiguous()
    data = Data(source="mnist", size=8, channels=1, mean=(0.0,), std=(1 / 255,))
    return Batches(pixels, torch.arange(40) + 100, rows, Transform(data, augment or Augment()), batch, seed, name)


def epoch_bytes(batches: Iterable[list[Tensor]]) -> bytes:
    return b"".join(part.numpy().tobytes() for batch in batches for part in batch)


@pytest.mark.parametrize(("count", "batch", "sizes"), [(40, 16, [16, 16, 8]), (32, 16, [16, 16]), (5, 16, [5]), (17, 1, [1] * 17)])
def test_an_epoch_visits_each_row_once(count: int, batch: int, sizes: list[int]) -> None:
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(5))[:count]
    batches = batches_of(rows, batch)
    assert len(batches) == len(sizes)
    for _ in range(2):
        parts = list(batches)
        assert [len(labels) for _, labels, _ in parts] == sizes
        assert sorted(torch.cat([labels for _, labels, _ in parts]).tolist()) == sorted((rows + 100).tolist())


def test_labels_and_task_zeros_go_with_their_images() -> None:
    for x, labels, tasks in batches_of(torch.arange(40)):
        assert torch.equal(x.flatten(1).round().unique(dim=1).flatten().long() + 100, labels)
        assert torch.equal(tasks, torch.zeros_like(labels))


def test_augmentation_belongs_to_the_image_not_to_its_place() -> None:
    """Every image is padded by its own draw: the last, smaller batch uses its own ones too."""
    transform = Transform(data_of(8), Augment(pad=2, flip=True))
    pixels = images(10, 3, 8)
    whole, small = (list(Batches(pixels, torch.arange(10), torch.arange(10), transform, size, 0, "x")) for size in (10, 4))
    assert torch.equal(torch.cat([x for x, _, _ in small]), whole[0][0])


def test_same_stream_and_epoch_same_bytes() -> None:
    augment = Augment(pad=2, flip=True, jitter=0.4)
    first, second = (batches_of(torch.arange(40), augment=augment) for _ in range(2))
    epochs = [epoch_bytes(first) for _ in range(3)]
    assert [epoch_bytes(second) for _ in range(3)] == epochs
    assert len(set(epochs)) == 3


def test_a_training_goes_on_at_any_epoch() -> None:
    augment = Augment(pad=2, flip=True)
    whole, resumed = (batches_of(torch.arange(40), augment=augment) for _ in range(2))
    epochs = [epoch_bytes(whole) for _ in range(3)]
    resumed.epoch = 2
    assert epoch_bytes(resumed) == epochs[2]


def test_an_epoch_that_was_left_early_does_not_shift_the_next() -> None:
    augment = Augment(pad=2, flip=True)
    whole, broken = (batches_of(torch.arange(40), augment=augment) for _ in range(2))
    epochs = [epoch_bytes(whole) for _ in range(2)]
    next(iter(broken))
    assert epoch_bytes(broken) == epochs[1]


@pytest.mark.parametrize("other", [{"seed": 1}, {"name": "session1"}])
def test_other_seed_or_name_other_order(other: dict[str, int | str]) -> None:
    """Trap 14: one view of 25 images a step is noisy, so its seeding is fixed, and seeds differ."""
    rows = torch.arange(40)
    assert epoch_bytes(batches_of(rows, **other)) != epoch_bytes(batches_of(rows))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "disturb", [lambda: torch.rand(7), lambda: torch.manual_seed(3), lambda: list(batches_of(torch.arange(9), name="y"))]
)
def test_other_random_numbers_in_between_change_nothing(disturb: Callable[[], object]) -> None:
    augment = Augment(pad=2, flip=True, jitter=0.4)
    undisturbed = epoch_bytes(batches_of(torch.arange(40), augment=augment))
    parts = []
    for batch in batches_of(torch.arange(40), augment=augment):
        disturb()
        parts += [part.numpy().tobytes() for part in batch]
    assert b"".join(parts) == undisturbed


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(11)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    list(batches_of(torch.arange(40), augment=Augment(pad=2, flip=True, jitter=0.4)))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == numpy_before


# Batches are prepared in pieces, and many short epochs at once --------------------------------------------------------------

PIECE = piece_size(8)  # images of these tests that are prepared at once
FULL = Augment(pad=2, flip=True, jitter=0.4)


def coloured(count: int, batch: int, augment: Augment = FULL, size: int = 8, train_size: int | None = None, **options: object) -> Batches:
    """Over `count` of a few more random images in colour, in an order of their own."""
    rows = torch.randperm(count + 9, generator=torch.Generator().manual_seed(count))[:count]
    pixels, transform = images(count + 9, 3, train_size or size), Transform(data_of(size, train_size), augment)
    return Batches(pixels, torch.arange(count + 9) + 100, rows, transform, batch, 3, "session4", **options)  # type: ignore[arg-type]


def by_hand(b: Batches, epoch: int) -> list[list[Tensor]]:
    """An epoch as the docstring has it: drawn from its own generator, then made batch by batch."""
    generator = torch.Generator().manual_seed(torch_seed(b.seed, f"{b.name}/epoch{epoch}"))
    rows = b.indices[torch.randperm(len(b.indices), generator=generator)]
    draws = b.transform.draw(len(rows), generator)
    parts = [slice(start, start + b.batch_size) for start in range(0, len(rows), b.batch_size)]
    return [[b.transform.apply(b.images[rows[p]], draws.at(p)), b.labels[rows[p]], torch.zeros_like(rows[p])] for p in parts]


def assert_same(found: list[list[Tensor]], expected: list[list[Tensor]]) -> None:
    """The same batches, bit for bit, channels last in memory."""
    assert [[(t.shape, t.dtype) for t in batch] for batch in found] == [[(t.shape, t.dtype) for t in batch] for batch in expected]
    assert epoch_bytes(found) == epoch_bytes(expected)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _, _ in found)


def count_prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images in every call of the transform."""
    calls: list[int] = []
    plain = Transform.apply

    def apply(self: Transform, batch: Tensor, draws: Draws) -> Tensor:
        calls.append(len(batch))
        return plain(self, batch, draws)

    monkeypatch.setattr(Transform, "apply", apply)
    return calls


@pytest.mark.parametrize(
    ("count", "batch"),
    [
        pytest.param(20, 1, id="one image a batch"),
        pytest.param(60, 16, id="eight epochs a piece"),
        pytest.param(60, 60, id="an epoch a batch"),
        pytest.param(60, 128, id="batch larger than the rows"),
        pytest.param(60, 1000, id="batch larger than a piece"),
        pytest.param(256, 50, id="two epochs a piece"),
        pytest.param(257, 50, id="just over half a piece"),
        pytest.param(512, 50, id="exactly a piece"),
        pytest.param(513, 50, id="one image more than a piece"),
        pytest.param(1300, 96, id="many pieces"),
        pytest.param(600, 1, id="two pieces, one image a batch"),
        pytest.param(1300, 700, id="many pieces, a batch larger than one"),
        pytest.param(1, 4, id="one image"),
        pytest.param(0, 4, id="no image"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["epochs known", "unknown"])
def test_pieces_change_no_value(count: int, batch: int, known: bool) -> None:
    """However many batches or epochs are made at once, each is what it is when it is made alone."""
    epochs = 3 if 2 * count > PIECE else 20
    batches = coloured(count, batch, epochs=epochs if known else None)
    for epoch in range(epochs):
        assert_same(list(batches), by_hand(batches, epoch))
    assert len(batches) == len(by_hand(batches, 0))


EVERYTHING = Augment(
    pad=2, flip=True, jitter=0.4, hue=0.1, jitter_p=0.8, scale=(0.2, 1), crop_or_resized=True, autoaugment="cifar10", grey=0.2, cutout=4
)


@pytest.mark.parametrize("augment", [Augment(), Augment(pad=2), Augment(flip=True), Augment(jitter=0.4), FULL, EVERYTHING], ids=str)
@pytest.mark.parametrize("train_size", [None, 12])
@pytest.mark.parametrize("count", [60, 600])
def test_pieces_change_no_value_whatever_the_augmentation(augment: Augment, train_size: int | None, count: int) -> None:
    batches = coloured(count, 16, augment, train_size=train_size)
    for epoch in range(3):
        assert_same(list(batches), by_hand(batches, epoch))


@pytest.mark.parametrize("batch", [3, 16])
def test_large_images_are_prepared_a_few_at_a_time(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more at once than as many pixels as small ones have, but for a batch that is larger."""
    batches = coloured(20, batch, Augment(pad=2), size=256)
    alone = by_hand(batches, 0)
    calls = count_prepared(monkeypatch)
    assert_same(list(batches), alone)
    assert max(calls) <= max(batch, piece_size(256)) < PIECE


@pytest.mark.parametrize("epochs", [1, 5, 8, 13])
def test_no_epoch_beyond_the_last_is_prepared_but_it_can_be_had(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`epochs` is a hint: work that is never shown is saved, and whoever goes on gets what he would have got."""
    batches = coloured(60, 16, epochs=epochs)
    expected = [by_hand(batches, epoch) for epoch in range(epochs + 3)]
    calls = count_prepared(monkeypatch)
    for epoch in range(epochs):
        assert_same(list(batches), expected[epoch])
    assert sum(calls) == 60 * epochs
    for epoch in range(epochs, epochs + 3):
        assert_same(list(batches), expected[epoch])


def test_short_epochs_are_prepared_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pieces are for: a call for many epochs, not one for each of their batches."""
    batches = coloured(60, 16)
    calls = count_prepared(monkeypatch)
    for _ in range(16):
        list(batches)
    assert len(calls) < 16


@pytest.mark.parametrize("count", [60, 250, 300, 1300])
@pytest.mark.parametrize("views", [None, 3])
def test_a_training_goes_on_at_any_epoch_of_a_group(count: int, views: int | None) -> None:
    """Forwards, backwards, and onto an epoch that is prepared already."""
    batches = coloured(count, 96, views=views)
    for start in (5, 0, 1, 7, 8, 6):
        batches.epoch = start
        for epoch in (start, start + 1):
            assert_same(list(batches), by_hand(batches, epoch % views if views else epoch))


def test_epochs_that_were_left_early_shift_none_of_their_group() -> None:
    batches = coloured(60, 16)
    for epoch in range(0, 20, 2):
        assert_same(list(islice(batches, 2)), by_hand(batches, epoch)[:2])
        assert_same(list(batches), by_hand(batches, epoch + 1))


@pytest.mark.parametrize("views", [1, 3, 10])
@pytest.mark.parametrize("count", [60, 250, 300, 1300], ids=["eight a piece", "two a piece", "one a piece", "many pieces"])
def test_views_are_drawn_once_and_shown_in_turn(views: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer or more views than fit into a piece; that there are more epochs makes no more views."""
    batches = coloured(count, 96, views=views, epochs=25)
    expected = [by_hand(batches, epoch) for epoch in range(views)]
    calls = count_prepared(monkeypatch)
    for epoch in range(2 * views + 1):
        assert_same(list(batches), expected[epoch % views])
    assert sum(calls) == views * count


def test_who_takes_a_batch_apart_does_not_take_the_view_apart() -> None:
    """Avalanche puts other tensors into the list that is a batch."""
    batches = coloured(60, 16, views=2)
    expected = [by_hand(batches, epoch) for epoch in range(2)]
    for epoch in range(4):
        found = list(batches)
        assert_same(found, expected[epoch % 2])
        for batch in found:
            batch[1] = batch[1] + 1


@pytest.mark.parametrize(("count", "size"), [(60, 8), (300, 8), (1300, 8), (100, 32), (600, 32)])
@pytest.mark.parametrize("views", [None, 2])
def test_below_takes_the_images_place(count: int, size: int, views: int | None) -> None:
    """Its outputs, made for many batches at once, but never for more images than a network should embed; without a gradient."""
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 3).view(3, 1, 1))
    calls: list[int] = []

    def frozen_part(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert x.is_contiguous(memory_format=torch.channels_last)
        calls.append(len(x))
        return x * weight

    batches = coloured(count, 16, size=size, frozen_part=frozen_part, views=views, epochs=4)
    for epoch in range(4):
        found, expected = list(batches), by_hand(batches, epoch % views if views else epoch)
        assert all(not x.requires_grad and x.grad_fn is None for x, _, _ in found)
        assert_same(found, [[x * weight.detach(), y, zeros] for x, y, zeros in expected])
    assert sum(calls) == count * (views or 4)
    assert max(calls) <= embedding_size(size, torch.device("cpu"))
    assert len(calls) <= sum(calls) // 60, "many batches at once"


def test_embedding_takes_fewer_images_where_they_are_larger() -> None:
    """On a CPU a layer's output has to fit into its cache; a GPU wants to be full."""
    cpu, gpu = ([embedding_size(side, torch.device(name)) for side in (8, 32, 224)] for name in ("cpu", "cuda"))
    assert sorted(set(cpu), reverse=True) == cpu
    assert all(there > here for there, here in zip(gpu, cpu, strict=True))


@pytest.mark.parametrize("count", [1, 25, 60, 250, 300, 1300])
def test_no_more_than_a_piece_is_held(count: int) -> None:
    """A session of a thousand epochs needs the memory of a few: those that are shown are let go."""
    batches = coloured(count, 16, Augment())
    epochs = 3 if 2 * count > PIECE else 2 * PIECE // count + 5
    most = 0
    for _ in range(epochs):
        for _ in batches:
            held = [x for epoch in batches._ready.values() for batch in epoch for x in batch[:1]]
            most = max(most, sum(len(x) for x in held))
    assert most <= PIECE - count if 2 * count <= PIECE else most == 0
    assert len(batches._ready) < max(2, PIECE // count)
