"""Stock Avalanche: its Naive strategy on images that torchvision's transforms prepare one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision import transforms

from benchmarks.tools.timing.paired import Work
from protocols.schema import Protocol


class PilImages(torch.utils.data.Dataset):
    """Data set like torchvision's CIFAR-100: pixels in an array; an item is made a PIL image and transformed on access."""

    def __init__(self, pixels: NDArray[np.uint8], targets: NDArray[np.int64], transform: Any) -> None:
        self.pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).squeeze(3 if pixels.shape[1] == 1 else ())
        self.targets = targets.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.targets[index]


def transform_of(protocol: Protocol, train: bool) -> Any:
    """The protocol's transforms, from torchvision (crop and flip; no protocol timed here has colour jitter)."""
    data, augment = protocol.data, protocol.augment
    crop = [transforms.RandomCrop(data.size, padding=augment.pad)] if train and augment.pad else []
    flip = [transforms.RandomHorizontalFlip()] if train and augment.flip else []
    return transforms.Compose([*crop, *flip, transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])


def stream(pixels: NDArray[np.uint8], targets: NDArray[np.int64], protocol: Protocol) -> tuple[Any, Any]:
    """A train and a test stream of one experience each, over the same images."""
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline
    from avalanche.benchmarks.utils import as_classification_dataset

    parts = {
        name: [as_classification_dataset(PilImages(pixels, targets, transform_of(protocol, name == "train")))] for name in ("train", "test")
    }
    benchmark = with_classes_timeline(benchmark_from_datasets(**parts))
    return benchmark.train_stream, benchmark.test_stream


def naive(net: nn.Module, batch: int, test_batch: int, epochs: int, device: torch.device) -> Any:
    """Stock Naive strategy without loggers and metrics, which is its fastest form."""
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import Naive

    return Naive(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=batch,
        train_epochs=epochs,
        eval_mb_size=test_batch,
        device=device,
        evaluator=EvaluationPlugin(),
    )


def training(strategy: Any, train_stream: Any) -> Work:
    def work() -> int:
        strategy.train(train_stream[0], eval_streams=[])
        return len(train_stream[0].dataset) * int(strategy.train_epochs)

    return work


def evaluation(strategy: Any, test_stream: Any) -> Work:
    def work() -> int:
        strategy.eval(test_stream)
        return len(test_stream[0].dataset)

    return work
