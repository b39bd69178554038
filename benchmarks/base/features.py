"""Features of un-augmented images under the base model: computed once, stored with it, used by methods that do not change it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import read_tensors, same_bits, write_tensors
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform, embedding_size
from benchmarks.system.errors import BusyError
from benchmarks.system.files import locked_or_there
from benchmarks.system.hashes import indices_sha256
from methods.parts.network import Network


def state_sha256(module: nn.Module) -> str:
    """Hash of all parameters and buffers, in name order."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class LastHash:
    """The hash of the module that was hashed last. While its state is the same bit by bit, it is compared, which is ten times as fast."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.sha256 = ""

    def of(self, module: nn.Module) -> str:
        state = module.state_dict()
        if state.keys() != self.state.keys() or not all(same_bits(value, self.state[name]) for name, value in state.items()):
            self.sha256 = state_sha256(module)
            self.state = {name: value.clone() for name, value in state.items()}
        return self.sha256


last_hash = LastHash()


def embedding_key(network: Network) -> str:
    """Everything that a network's features depend on except the images."""
    pool = network.pool
    named = getattr(pool, "__qualname__", "<") if getattr(pool, "__closure__", None) is None else "<"
    # A pooling that its name does not describe, such as a closure, is never found again.
    which = f"{pool.__module__}.{named}" if "<" not in named else uuid.uuid4().hex
    return f"{last_hash.of(network.backbone)} {network.precision} {which}"


@dataclass(frozen=True)
class TrainFeatures:
    """Features [n, d] of the base training images under the base backbone; `indices` [n] of the images, in the split's order."""

    key: str
    indices: Tensor
    features: Tensor

    def of(self, indices: Tensor, network: Network) -> Tensor | None:
        """The features, if the images and the backbone are exactly the stored ones; else None."""
        return self.features.clone() if torch.equal(indices, self.indices) and embedding_key(network) == self.key else None


@dataclass(frozen=True)
class BaseFeatures:
    """Features of the training images, for methods in session 0, and of the test images by session, for the evaluator only."""

    key: str
    train: TrainFeatures
    test: dict[int, Tensor]


def embed_all(embed: Callable[[Tensor], Tensor], images: Tensor, indices: Tensor, transform: Transform) -> Tensor:
    """Features [n, d] of the images `indices` of uint8 `images`, computed in chunks of `embedding_size`."""
    return in_pieces(lambda shown: embed(transform.normalise(shown)), images, indices, transform.data.size)


def in_pieces(embed: Callable[[Tensor], Tensor], inputs: Tensor, indices: Tensor, side: int) -> Tensor:
    """What `embed` makes of the rows `indices` of `inputs`, in chunks of the size for images of that side."""
    return torch.cat([embed(inputs[part]) for part in indices.split(embedding_size(side, inputs.device))])


def base_features(
    folder: Path, base: BaseKey, network: Network, tensors: Tensors, split: Split, transform: Transform, wait: bool = True
) -> BaseFeatures:
    """Reads the features stored with the base model of key `base`, else computes and stores them. Others wait for the process that does,
    or get a BusyError if `wait` is False.

    `network` is the base model, in evaluation mode.
    """
    of = embedding_key(network)
    key = BaseKey({**base.fields, "features_of": of, "test": indices_sha256(split.test)})
    indices = torch.from_numpy(split.train[0])
    path = folder / f"{key.stem}.features"
    lock = path.with_suffix(".lock")
    with locked_or_there(lock, wait, path) as mine:
        state = read_tensors(path, key)
        counts = {"train": len(indices), **{f"test{number}": len(of_session) for number, of_session in enumerate(split.test)}}
        if state is None or {name: len(value) for name, value in state.items()} != counts:
            if not mine:
                raise BusyError(lock)
            with torch.no_grad():
                state = {"train": embed_all(network.embed, tensors.plain, indices, transform)}
                for number, of_session in enumerate(split.test):
                    state[f"test{number}"] = embed_all(network.embed, tensors.test, torch.from_numpy(of_session), transform)
            write_tensors(path, key, state)
    state = {name: value.to(tensors.test.device) for name, value in state.items()}
    return BaseFeatures(
        of, TrainFeatures(of, indices, state["train"]), {number: state[f"test{number}"] for number in range(len(split.test))}
    )
