"""A small network and images, whose features are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.base.features import BaseFeatures, base_features
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of, to_fast_layout
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform
from methods.parts.network import Network
from protocols.schema import Augment, Data, Protocol

KEY = BaseKey({"what": "a base"})
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Scene:
    """A small network and images that are all different, training images under both transforms too."""

    folder: Path
    network: Network
    tensors: Tensors
    split: Split
    transform: Transform

    def features(self, key: BaseKey = KEY) -> BaseFeatures:
        return base_features(self.folder, key, self.network, self.tensors, self.split, self.transform)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.features"))

    def anew(self, images: Tensor, rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            return self.network.embed(self.transform.normalise(images[torch.from_numpy(rows)]))


@pytest.fixture
def scene(tiny: Protocol, tmp_path: Path) -> Scene:
    generator = torch.Generator().manual_seed(2)
    train, plain, test = (torch.randint(0, 256, (60, 1, 8, 8), generator=generator, dtype=torch.uint8) for _ in range(3))
    labels = torch.arange(60) % 10
    rows = [np.flatnonzero(np.isin(labels.numpy(), classes)) for classes in (range(6), [6, 7], [8, 9])]
    split = Split("paper", tuple(range(10)), 6, tuple(part[::-1].copy() for part in rows), tuple(rows))
    network = to_fast_layout(build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0).eval(), CPU)
    data = Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,))
    transform = Transform(data, Augment(pad=1, flip=True, jitter=0.3))
    return Scene(
        tmp_path / "base", network, Tensors(train=train, plain=plain, labels=labels, test=test, test_labels=labels), split, transform
    )


def forbid_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(self: Network, images: Tensor) -> Tensor:
        raise AssertionError(f"{len(images)} images embedded again")

    monkeypatch.setattr(Network, "embed", embed)
