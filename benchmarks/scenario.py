"""Images + split -> what methods train on (an Avalanche benchmark of row numbers) and what tests them (the evaluator).

The train side and the test side are two objects. A strategy gets the first only, and of it only the images of the
current session and those in its own memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.datasets import ImageSet
from benchmarks.loading import Batches, Transform, embedding_size
from benchmarks.splits import Split
from methods.parts.memory import Memory
from methods.parts.network import Network

if TYPE_CHECKING:
    from benchmarks.features import TrainFeatures


@dataclass(frozen=True)
class Tensors:
    """Images on the device, uint8, and labels int64 in the order of arrival (-1: never shown)."""

    train: Tensor
    plain: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor


def to_device(images: ImageSet, split: Split, device: torch.device) -> Tensors:
    train = torch.from_numpy(images.train).to(device)
    return Tensors(
        train=train,
        plain=train if images.plain is images.train else torch.from_numpy(images.plain).to(device),
        labels=torch.from_numpy(split.labels(images.train_classes)).to(device),
        test=torch.from_numpy(images.test).to(device),
        test_labels=torch.from_numpy(split.labels(images.test_classes)).to(device),
    )


class SessionImages:
    """The training images that a strategy may touch: the current session's, and those in its memory."""

    def __init__(self, tensors: Tensors, transform: Transform, memory: Memory, seed: int, base: TrainFeatures | None = None) -> None:
        self._tensors, self._transform, self._memory, self._seed, self._base = tensors, transform, memory, seed, base

    def plain(self, rows: Tensor) -> Tensor:
        return self._transform.normalise(self._tensors.plain[self._memory.check(rows)])

    def labels(self, rows: Tensor) -> Tensor:
        return self._tensors.labels[self._memory.check(rows)]

    def pieces(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(embedding_size(self._transform.data.size, self._tensors.plain.device))

    def stored_features(self, rows: Tensor, network: Network) -> Tensor | None:
        rows = self._memory.check(rows)
        return None if self._base is None else self._base.of(rows, network)

    def batches(
        self,
        rows: Tensor,
        batch: int,
        name: str,
        *,
        below: Callable[[Tensor], Tensor] | None = None,
        views: int | None = None,
        epochs: int | None = None,
    ) -> Batches:
        t, rows = self._tensors, self._memory.check(rows)
        return Batches(t.train, t.labels, rows, self._transform, batch, self._seed, name, below=below, views=views, epochs=epochs)


class _Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Row numbers as a data set: Avalanche carries these, never pixels."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int]:
        return (self.rows[index],)


def make_benchmark(split: Split, labels: Tensor) -> Any:
    """An Avalanche benchmark whose train stream has one experience a session; its data sets hold rows and labels.

    Built as avalanche.md section 1 recommends. There is no test stream: methods never see the test side.
    """
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline
    from avalanche.benchmarks.utils import (
        ConstantSequence,
        DataAttribute,
        TaskAwareSupervisedClassificationDataset,
    )
    from avalanche.benchmarks.utils.data_attribute import TaskLabels

    table = labels.cpu()
    datasets = []
    for rows in split.train:
        numbers = rows.tolist()
        attributes = [
            DataAttribute(table[torch.from_numpy(rows)].tolist(), "targets"),
            DataAttribute(numbers, "row"),
            TaskLabels(ConstantSequence(0, len(numbers))),
        ]
        datasets.append(TaskAwareSupervisedClassificationDataset([_Rows(numbers)], data_attributes=attributes))
    return with_classes_timeline(benchmark_from_datasets(train=datasets))
