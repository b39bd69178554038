"""Avalanche's experiences, one per session. They hold image indices instead of pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.data.splits import Split


class _Indices(torch.utils.data.Dataset):
    """A data set of image indices: Avalanche handles these, never pixels."""

    def __init__(self, indices: list[int]) -> None:
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[int]:
        return (self.indices[index],)


def make_experiences(split: Split, labels: Tensor) -> list[Any]:
    """The Avalanche experience of each session; its data set holds indices and labels.

    Each experience is the last of its own stream, so that a strategy can reach earlier sessions from it, but no later session and no
    test stream.
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
    for indices in split.train:
        numbers = indices.tolist()
        attributes = [
            DataAttribute(table[torch.from_numpy(indices)].tolist(), "targets"),
            DataAttribute(numbers, "image_index"),
            TaskLabels(ConstantSequence(0, len(numbers))),
        ]
        datasets.append(TaskAwareSupervisedClassificationDataset([_Indices(numbers)], data_attributes=attributes))
        experiences.append(with_classes_timeline(benchmark_from_datasets(train=list(datasets))).train_stream[-1])
    return experiences
