"""Session 0: trained once per (data, split, backbone, recipe, seed), cached, and adopted by every method."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from benchmarks import SUITE_VERSION
from benchmarks.data.batches import Batches
from benchmarks.system.errors import StorageError
from benchmarks.system.files import locked, remove, write_atomic
from benchmarks.system.streams import torch_seed
from methods.parts.backbones import build_backbone
from methods.parts.heads import CosineHead, GrowingHead
from methods.parts.network import Network, begin_step
from methods.parts.optimizer import sgd
from methods.parts.path_integral import PathIntegral
from protocols.schema import Protocol, Recipe


@dataclass(frozen=True)
class BaseKind:
    """What a base model has beside backbone and head: F1, a head of its own (None: the backbone's), SI's path integral."""

    projected: bool = False
    head: type[GrowingHead] | None = None
    path: bool = False


BASES = {
    "linear": BaseKind(),
    "projected": BaseKind(projected=True),  # LEC-Net's release
    "cosine": BaseKind(head=CosineHead),  # LUCIR
    "path": BaseKind(path=True),  # SI
}
"""Base models a method may name. `linear`, with the head that goes with the backbone, is the one that all share."""
CHECKPOINT_SECONDS = 60.0  # a killed base training loses about this much
START, END = 1 / 25, 1e-4 / 25  # onecycle: first and last rate as shares of the highest

Report = Callable[[int, float], None]
"""Called after an epoch with its number, from 1, and its mean loss."""


@dataclass(frozen=True)
class BaseKey:
    """Everything that can change a base model. Its hash is the cache's file name."""

    fields: dict[str, Any]

    @property
    def text(self) -> str:
        return json.dumps(self.fields, sort_keys=True)

    @property
    def stem(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def base_key(
    protocol: Protocol, recipe: Recipe, base: str, seed: int, data_sha256: str, rows_sha256: str, environment: dict[str, Any]
) -> BaseKey:
    """The key of one base model. Presentation (titles, notes, methods' settings) is left out: it changes nothing."""
    return BaseKey(
        {
            "suite": SUITE_VERSION,
            "data": protocol.data.model_dump(mode="json"),
            "augment": protocol.augment.model_dump(mode="json"),
            "images": data_sha256,
            "rows": rows_sha256,
            "classes": protocol.sessions.base,
            "backbone": protocol.backbone.model_dump(mode="json"),
            "recipe": recipe.model_dump(mode="json", exclude={"methods", "bases"}),
            "base": base,
            "seed": seed,
            "environment": environment,
        }
    )


def build_network(protocol: Protocol, base: str, precision: str, seed: int, weights: Path | None, head_gain: float) -> Network:
    """A fresh network with a head of the base classes; its initial values depend on the seed only."""
    kind = BASES[base]
    torch.manual_seed(torch_seed(seed, "init"))
    backbone = build_backbone(protocol.backbone.name, protocol.data.channels, weights)
    network = Network(backbone, precision, kind.head, kind.projected)
    network.head.grow(protocol.sessions.base)
    network.head.weight.data.mul_(head_gain)
    if kind.path:
        network.path = PathIntegral(list(network.parameters()))
    return network


def to_fast_layout(network: Network, device: torch.device) -> Network:
    """On the device, channels last: the layout that convolutions prefer on CPU and GPU alike."""
    network.to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Rate of batch number `step` (from 0), where `steps` batches make an epoch. Stateless, so training can resume."""
    if recipe.schedule == "onecycle":
        total = recipe.epochs * steps - 1
        peak = max(recipe.warmup * total, 1e-9)
        if step <= peak:
            return recipe.lr * (START + (1 - START) * step / peak)
        return recipe.lr * (1 + (END - 1) * (step - peak) / (total - peak))
    passed = sum(step >= milestone * steps for milestone in recipe.milestones) if recipe.schedule == "step" else 0
    return recipe.lr * recipe.gamma**passed


def train_base(network: Network, batches: Batches, recipe: Recipe, device: torch.device, checkpoint: Checkpoint, report: Report) -> None:
    """Train in place by cross-entropy over the base classes, as the recipe says; goes on from the checkpoint if any.

    Raises FloatingPointError when the loss is no longer a number.
    """
    to_fast_layout(network, device).train()
    settings = recipe.model_dump(include={"lr", "momentum", "nesterov", "weight_decay"})
    optimizer = sgd(network.parameters(), device, **settings)
    steps = len(batches)
    path, parameters = network.path, list(network.parameters())
    batches.epoch = checkpoint.resume(network, optimizer)
    for epoch in range(batches.epoch, recipe.epochs):
        total = torch.zeros((), device=device)
        for index, (x, y, _) in enumerate(batches):
            begin_step(device)
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, epoch * steps + index, steps)
            loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            if path is not None:
                path.note_gradient(parameters)
            optimizer.step()
            if path is not None:
                path.note_step(parameters)
            total += loss.detach()
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"base training: the loss is {mean} in epoch {epoch + 1}; lower the recipe's lr")
        report(epoch + 1, mean)
        checkpoint.keep(network, optimizer, epoch + 1)
    network.eval()


class Checkpoint:
    """State of an unfinished base training, written about once a minute. Resuming from it gives the same bytes."""

    def __init__(self, path: Path, key: BaseKey) -> None:
        self.path, self.key = path, key
        self.written = time.monotonic()

    def keep(self, network: Network, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        if time.monotonic() - self.written < CHECKPOINT_SECONDS:
            return
        state = {f"network.{name}": value for name, value in network.state_dict().items()}
        for name, parameter in network.named_parameters():
            momentum = optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                state[f"momentum.{name}"] = momentum
        state["epoch"] = torch.tensor(epoch)
        write_tensors(self.path, self.key, state)
        self.written = time.monotonic()

    def resume(self, network: Network, optimizer: torch.optim.Optimizer) -> int:
        """Load what is there; the number of epochs that are done."""
        state = read_tensors(self.path, self.key)
        if state is None:
            return 0
        own, momentum = (
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            for prefix in ("network.", "momentum.")
        )
        parameters = dict(network.named_parameters())
        moves = parameters if optimizer.param_groups[0]["momentum"] else {}
        if "epoch" not in state or not (fits(own, network.state_dict()) and fits(momentum, moves)):
            return 0
        network.load_state_dict(own)
        for name, value in momentum.items():
            buffer = torch.empty_like(parameters[name]).copy_(value)  # keeps the memory layout
            optimizer.state[parameters[name]]["momentum_buffer"] = buffer
        return int(state["epoch"])

    def remove(self) -> None:
        remove(self.path)


def cached_base(
    folder: Path, key: BaseKey, fresh: Callable[[], Network], train: Callable[[Network, Checkpoint], None]
) -> dict[str, Tensor]:
    """The state of the base model of `key`: read where it is stored whole, else trained from `fresh` and stored.

    One process trains; others that want the same base wait for it.
    """
    path = folder / f"{key.stem}.safetensors"
    with locked(path.with_suffix(".lock"), wait=True):
        state = read_tensors(path, key)
        checkpoint = Checkpoint(path.with_suffix(".checkpoint"), key)
        network = fresh()
        if state is None or not fits(state, network.state_dict()):
            train(network, checkpoint)
            state = dict(network.state_dict())
            if not finite(state):  # the last step's doing: its loss was still a number
                raise FloatingPointError("base training: weights are no numbers any more; lower the recipe's lr")
            write_tensors(path, key, state)
        checkpoint.remove()  # also that of a process killed between its last write and here
        return state


def fits(state: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> bool:
    """Whether a stored state is of a network like this: the same names, shapes and types."""
    return state.keys() == network.keys() and all(
        state[name].shape == value.shape and state[name].dtype == value.dtype for name, value in network.items()
    )


def finite(state: dict[str, Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in state.values())


def write_tensors(path: Path, key: BaseKey, state: dict[str, Tensor]) -> None:
    """A SHA-256, then the safetensors bytes that it covers: tensors only, never pickled code."""
    body = save({name: value.cpu().contiguous() for name, value in state.items()}, metadata={"key": key.text})
    write_atomic(path, hashlib.sha256(body).digest() + body)


def read_tensors(path: Path, key: BaseKey) -> dict[str, Tensor] | None:
    """What write_tensors wrote under this key; None where there is nothing, damage, another key, or a number that is none.

    Raises StorageError where something is there that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of(path, error, "read") from None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        if header["__metadata__"]["key"] != key.text:
            return None
        state = load(body)
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError):  # the hash is no secret: the body may be anything
        return None
    return state if finite(state) else None
