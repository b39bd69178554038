"""Batches that hold stored vectors beside images, or instead of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


class WithVectors:
    """Each iteration is one epoch of batches [inputs, labels, zeros] over the vectors and the images of one epoch of `images`, shuffled.

    `vectors` [m, ...] have the shape of the inputs that `images` yields, the outputs of a frozen part; `labels` is [m]. With
    `images` None, the vectors are all; `shown` is how many images an epoch has. `batch` None puts an epoch into one batch. The order
    is drawn from a generator of its own, which torch's global one seeds.
    """

    def __init__(self, images: Iterable[list[Tensor]] | None, shown: int, vectors: Tensor, labels: Tensor, batch: int | None) -> None:
        if len(vectors) != len(labels):
            raise ValueError(f"stored vectors: {len(vectors)} of them, but {len(labels)} labels")
        self.batches = -(-(shown + len(labels)) // (batch or max(1, shown + len(labels))))
        self.images, self.vectors, self.labels, self.batch = images, vectors, labels, batch
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Tensor]]:
        parts = [(x, y) for x, y, _ in self.images or ()]
        inputs = torch.cat([*(x for x, _ in parts), self.vectors])
        labels = torch.cat([*(y for _, y in parts), self.labels])
        order = torch.randperm(len(labels), generator=self.generator).to(labels.device)
        for chosen in order.split(self.batch or len(order)):
            yield [inputs[chosen], labels[chosen], torch.zeros_like(labels[chosen])]
