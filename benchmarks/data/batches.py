"""Batches from uint8 tensors that are already on the device. Whole batches are cropped, flipped and normalised at once.

No image is decoded, and no Python code runs per image. All random choices of an epoch are drawn before it, on the CPU, from
a named stream, so that they depend neither on the device nor on evaluations in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.data.tensors import sent
from benchmarks.data.transforms import Draws, Transform, embedding_size, piece_size
from benchmarks.system.streams import torch_seed


class Batches:
    """Shuffled, augmented batches of the images `indices`. Each iteration is one epoch and yields [images, labels, task zeros].

    With `more`, transforms of further views of the same images, it yields [view 1, view 2, ..., labels, task zeros]. Each view draws
    from a stream of its own, so the first one is what it is without the others.

    Epoch e of the stream `name` draws from its own generator, so an interrupted training can resume at any epoch. `frozen_part`
    is a part of the network that does not change while these batches are used; if given, batches hold its outputs instead of
    images. `views` epochs are drawn once and repeated in turn (not in one batch, as `more` are); None draws every epoch anew.
    `epochs` is the maximum number of epochs, if known. `stored` [V, N, ...] holds outputs of the frozen part that were computed for V
    augmented views of every image; they are shown in turn, and nothing else is drawn than the order. An image that stands in `indices`
    several times is shown in as many views.

    Images are prepared in pieces of many batches, or of many epochs if these are short. The augmentation of an image does not
    depend on the other images, so the piece size does not change it (`frozen_part` may round differently in another batch).
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        transform: Transform,
        batch_size: int,
        seed: int,
        name: str,
        *,
        frozen_part: Callable[[Tensor], Tensor] | None = None,
        views: int | None = None,
        epochs: int | None = None,
        more: Sequence[Transform] = (),
        stored: Tensor | None = None,
    ) -> None:
        self.images, self.labels, self.indices = images, labels, indices
        self.transform, self.batch_size, self.seed, self.name = transform, batch_size, seed, name
        self.frozen_part, self.views, self.last = frozen_part, views, views or epochs
        self.more = tuple(more)
        self.stored = stored
        self.epoch = 0
        self._ready: dict[int, list[list[Tensor]]] = {}

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        epoch = self.epoch % self.views if self.views else self.epoch
        self.epoch += 1
        group = self._most // max(1, len(self.indices))  # epochs that fit into one piece
        if group < 2 and self.views is None:
            yield from self._prepared([epoch])
            return
        if epoch not in self._ready:
            end = epoch + max(1, group)
            numbers = range(epoch, max(epoch + 1, min(end, self.last or end)))
            batches = list(self._prepared(numbers))
            self._ready |= {number: batches[i * len(self) : (i + 1) * len(self)] for i, number in enumerate(numbers)}
        yield from map(list, self._ready[epoch] if self.views else self._ready.pop(epoch))

    @property
    def _most(self) -> int:
        """How many images are prepared at once, each in all its views."""
        return max(1, piece_size(self.transform.data.size) // (1 + len(self.more)))

    def _prepared(self, epochs: Sequence[int]) -> Iterator[list[Tensor]]:
        """Yields the batches of these epochs, one epoch after the other."""
        count, most, device = len(self.indices), self._most, self.images.device
        if self.stored is not None:
            for epoch in epochs:
                yield from self._looked_up(self.stored, epoch)
            return
        drawn = [self._draw(epoch) for epoch in epochs]
        indices = sent(torch.cat([own for own, _ in drawn]), device)
        draws = [Draws.cat(view).to(device) for view in zip(*(own for _, own in drawn), strict=True)]
        piece = max(1, most // self.batch_size) * self.batch_size if len(indices) > most else most
        for start in range(0, len(indices), piece):
            part = slice(start, start + piece)
            images, y = self.images[indices[part]], self.labels[indices[part]]
            shown = [transform.apply(images, own.at(part)) for transform, own in zip(self._transforms, draws, strict=True)]
            if self.frozen_part is not None:
                shown = [self._stand_in(self.frozen_part, x) for x in shown]
            pieces = [tensor.split(min(piece, count)) for tensor in (*shown, y, torch.zeros_like(y))]  # each within one epoch
            for whole in zip(*pieces, strict=True):
                yield from map(list, zip(*(tensor.split(self.batch_size) for tensor in whole), strict=True))

    def _looked_up(self, stored: Tensor, epoch: int) -> Iterator[list[Tensor]]:
        """Yields the batches of an epoch from stored outputs; the views of one batch are consecutive ones."""
        order = torch.randperm(len(self.indices), generator=self._generator(f"{self.name}/epoch{epoch}"))
        count, device = 1 + len(self.more), stored.device
        indices, first = sent(self.indices[order], device), sent(epoch + count * times_before(self.indices)[order], device)
        for part, start in zip(indices.split(self.batch_size), first.split(self.batch_size), strict=True):
            y = self.labels[part]
            yield [*(stored[(start + view) % len(stored), part] for view in range(count)), y, torch.zeros_like(y)]

    def _stand_in(self, frozen_part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([frozen_part(part) for part in x.split(embedding_size(self.transform.data.size, x.device))])

    @property
    def _transforms(self) -> tuple[Transform, ...]:
        return (self.transform, *self.more)

    def _draw(self, epoch: int) -> tuple[Tensor, list[Draws]]:
        """The shuffled image indices of this epoch, and the random choices for these images, for each of their views."""
        generator = self._generator(f"{self.name}/epoch{epoch}")
        indices = self.indices[torch.randperm(len(self.indices), generator=generator)]
        others = [self._generator(f"{self.name}/view{number + 2}/epoch{epoch}") for number in range(len(self.more))]
        drawn = zip(self._transforms, (generator, *others), strict=True)
        return indices, [transform.draw(len(indices), own) for transform, own in drawn]

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(torch_seed(self.seed, name))


def times_before(indices: Tensor) -> Tensor:
    """How many equal numbers stand before each of `indices` [n]."""
    order = torch.argsort(indices, stable=True)
    ordered, places = indices[order], torch.arange(len(indices))
    starts = torch.searchsorted(ordered, ordered)
    return torch.empty_like(places).scatter_(0, order, places - starts)
