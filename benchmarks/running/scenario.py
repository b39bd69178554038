"""Images + split -> what methods train on (an Avalanche benchmark of row numbers) and what tests them (the evaluator).

The train side and the test side are two objects. A strategy gets the first only, and of it only the images of the
current session and those in its own memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.batches import Batches, Transform, embedding_size
from benchmarks.data.images import ImageSet
from benchmarks.data.splits import Split
from methods.contract.memory import LeakError, Memory
from methods.parts.network import Network

if TYPE_CHECKING:
    from benchmarks.base.features import TrainFeatures


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
    """The training images that a method may touch now: the current session's, and those in its memory.

    It holds no others, so that not even its private parts lead to past, future or test images.
    """

    def __init__(self, transform: Transform, memory: Memory, seed: int) -> None:
        self._transform, self._memory, self._seed = transform, memory, seed

    def show(self, rows: Tensor, tensors: Tensors, base: TrainFeatures | None = None) -> None:
        """Called by the runner when a session begins: `rows`, sorted, take the place of what was there; `base` goes with session 0."""
        self._rows, self._base = rows, base
        here = rows.to(tensors.labels.device)
        self._train = tensors.train[here]
        self._plain = self._train if tensors.plain is tensors.train else tensors.plain[here]
        self._labels = tensors.labels[here]

    def plain(self, rows: Tensor) -> Tensor:
        return self._transform.normalise(self._plain[self._places(rows)])

    def labels(self, rows: Tensor) -> Tensor:
        return self._labels[self._places(rows)]

    def pieces(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(embedding_size(self._transform.data.size, self._plain.device))

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
        places = self._places(rows)
        return Batches(self._train, self._labels, places, self._transform, batch, self._seed, name, below=below, views=views, epochs=epochs)

    def _places(self, rows: Tensor) -> Tensor:
        """Where the images of these rows stand here. Raises LeakError for one that is not shown."""
        wanted, shown = self._memory.check(rows).numpy(), self._rows.numpy()
        places = np.searchsorted(shown, wanted).clip(max=len(shown) - 1)
        if not np.array_equal(shown[places], wanted):  # a memory that was tampered with
            raise LeakError("asked for training images that are not shown in this session")
        return torch.from_numpy(places)


class _Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Row numbers as a data set: Avalanche carries these, never pixels."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int]:
        return (self.rows[index],)


def make_experiences(split: Split, labels: Tensor) -> list[Any]:
    """The Avalanche experience of each session; its data set holds rows and labels.

    Built as avalanche.md section 1 recommends. Each is the last of a stream of its own: what a strategy is handed leads back
    to earlier sessions, to no later one, and to no test stream.
    """
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline
    from avalanche.benchmarks.utils import (
        ConstantSequence,
        DataAttribute,
        TaskAwareSupervisedClassificationDataset,
    )
    from avalanche.benchmarks.utils.data_attribute import TaskLabels

    table = labels.cpu()
    datasets: list[Any] = []
    experiences = []
    for rows in split.train:
        numbers = rows.tolist()
        attributes = [
            DataAttribute(table[torch.from_numpy(rows)].tolist(), "targets"),
            DataAttribute(numbers, "row"),
            TaskLabels(ConstantSequence(0, len(numbers))),
        ]
        datasets.append(TaskAwareSupervisedClassificationDataset([_Rows(numbers)], data_attributes=attributes))
        experiences.append(with_classes_timeline(benchmark_from_datasets(train=list(datasets))).train_stream[-1])
    return experiences
