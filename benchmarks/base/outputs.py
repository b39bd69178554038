"""Outputs of the part of a backbone that no session trains: computed once for a data set, and used by all seeds and methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.base.features import BaseFeatures, TrainFeatures, embed_all, embedding_key, tensors_sha256
from benchmarks.base.key import BaseKey, values_of
from benchmarks.base.tensors import read_tensors, write_tensors
from benchmarks.data.splits import Split
from benchmarks.data.tensors import DeviceImages
from benchmarks.data.transforms import Transform, embedding_size
from benchmarks.system.errors import BusyError
from benchmarks.system.files import locked_or_there
from benchmarks.system.streams import torch_seed
from methods.parts.network import Network, plain_embed
from protocols.training import Trains

Say = Callable[[str], None]
LOWER = " lower"
"""How the key ends of outputs that are inputs of the last block."""


@dataclass(frozen=True)
class Outputs:
    """`plain` [n, ...] of the training images under the test transform, `views` [V, n, ...] of them augmented, `test` [m, ...].

    `key` says of which frozen part they are (`part_key`).
    """

    key: str
    plain: Tensor
    views: Tensor
    test: Tensor

    @property
    def of_maps(self) -> bool:
        """Whether they are inputs of the last block, and not features."""
        return self.key.endswith(LOWER)

    def features(self, split: Split) -> BaseFeatures:
        """The features of a base model whose whole backbone stays as it was."""
        indices = torch.from_numpy(split.train[0])
        train = TrainFeatures(self.key, indices, self.plain[indices])
        return BaseFeatures(self.key, train, {number: self.test[torch.from_numpy(rows)] for number, rows in enumerate(split.test)})

    def shown(self, indices: Tensor) -> ShownOutputs:
        """Those of the training images `indices` alone."""
        return ShownOutputs(self.key, self.plain[indices], self.views[:, indices])


@dataclass(frozen=True)
class ShownOutputs:
    """Outputs of the training images that a method may use now: `plain` [n, ...] and `views` [V, n, ...]."""

    key: str
    plain: Tensor
    views: Tensor

    def views_under(self, part: Callable[[Tensor], Tensor]) -> Tensor | None:
        """The views, if `part` is the frozen part that they come from: `embed` or `embed_lower` of a network; else None."""
        network, trains = getattr(part, "__self__", None), TRAINS.get(getattr(part, "__name__", ""))
        same = isinstance(network, Network) and trains is not None and part_key(network, trains) == self.key
        return self.views if same else None

    def features(self, places: Tensor, network: Network) -> Tensor | None:
        """Features of the images at these places, if they are what is stored, under this very backbone; else None."""
        return self.plain[places] if embedding_key(network) == self.key else None


TRAINS: dict[str, Trains] = {"embed": "none", "embed_lower": "last_block"}
"""What stays to be trained above a part of the network."""


def part_key(network: Network, trains: Trains) -> str:
    """Everything that the outputs of the frozen part depend on except the images. `trains` is none or last_block."""
    if trains == "none":
        return embedding_key(network)
    above = {value.data_ptr() for value in network.backbone.last_block.state_dict().values()}
    below = {name: value for name, value in network.backbone.state_dict().items() if value.data_ptr() not in above}
    return f"{tensors_sha256(below)} {network.precision}{LOWER}"


def part_of(network: Network, trains: Trains) -> Callable[[Tensor], Tensor]:
    """The frozen part: maps images [N, C, S, S] to features, or to the input of the last block."""
    return partial(plain_embed, network) if trains == "none" else network.embed_lower


def given_by(trains: Trains) -> Literal["features", "maps"]:
    """What a network is given in place of images where a part of it stays frozen."""
    return "features" if trains == "none" else "maps"


def stored_outputs(
    folder: Path,
    network: Network,
    trains: Trains,
    views: int,
    images: str,
    tensors: DeviceImages,
    transform: Transform,
    environment: dict[str, Any],
    wait: bool = True,
    say: Say = lambda text: None,
) -> Outputs:
    """Reads the outputs of the network's frozen part for the images of hash `images`, or computes and stores them.

    Others wait for the process that does, or get a BusyError if `wait` is False. The augmentations of a view depend on its number and on
    the image alone, not on a seed. `network` is in evaluation mode.
    """
    of = part_key(network, trains)
    key = BaseKey(
        {
            "outputs_of": of,
            "images": images,
            "data": values_of(transform.data),
            "augment": values_of(transform.augment),
            "views": views,
            "environment": environment,
        }
    )
    path = folder / f"{key.stem}.outputs"
    lock = path.with_suffix(".lock")
    with locked_or_there(lock, wait, path) as mine:
        state = read_tensors(path, key)
        if state is None:
            if not mine:
                raise BusyError(lock)
            state = computed(part_of(network, trains), views, tensors, transform, say)
            write_tensors(path, key, state)
    device = tensors.train.device
    return Outputs(of, *(state[name].to(device) for name in ("plain", "views", "test")))


@torch.no_grad()
def computed(part: Callable[[Tensor], Tensor], views: int, tensors: DeviceImages, transform: Transform, say: Say) -> dict[str, Tensor]:
    """The tensors of `Outputs`, by name."""
    say("outputs of the frozen part: images as they are")
    rows = torch.arange(len(tensors.train))
    found = {
        "plain": embed_all(part, tensors.plain, rows, transform),
        "test": embed_all(part, tensors.test, torch.arange(len(tensors.test)), transform),
    }
    size, augmented = embedding_size(transform.data.size, tensors.train.device), []
    for view in range(views):
        say(f"outputs of the frozen part: view {view + 1}/{views}")
        generator = torch.Generator().manual_seed(torch_seed(0, f"stored views/{view}"))
        draws = transform.draw(len(rows), generator).to(tensors.train.device)
        pieces = [slice(start, start + size) for start in range(0, len(rows), size)]
        images = tensors.under(transform.data)
        augmented.append(torch.cat([part(transform.apply(images[piece], draws.at(piece))) for piece in pieces]))
    return {**found, "views": torch.stack(augmented)}
