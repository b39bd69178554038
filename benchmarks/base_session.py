"""Session 0: trained once per (data, split, backbone, recipe, seed), cached, and adopted by every method."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from benchmarks.files import locked, write_atomic
from benchmarks.loading import Batches
from benchmarks.streams import torch_seed
from methods.parts.backbones import build_backbone
from methods.parts.network import Network
from protocols.schema import Protocol, Recipe

CODE_VERSION = 1  # raise when base training or a backbone changes what it computes
BASES = {"linear": False, "projected": True}
"""Base models a method may name: with and without LEC-Net's projection F1."""


@dataclass(frozen=True)
class BaseKey:
    """Everything that can change a base model. Its hash is the cache's file name."""

    fields: dict[str, Any]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()


def base_key(
    protocol: Protocol, recipe: Recipe, base: str, seed: int, data_sha256: str, rows_sha256: str, environment: dict[str, Any]
) -> BaseKey:
    """The key of one base model. Presentation (titles, notes, methods' settings) is left out: it changes nothing."""
    return BaseKey({
        "code": CODE_VERSION,
        "data": protocol.data.model_dump(mode="json"),
        "augment": protocol.augment.model_dump(mode="json"),
        "images": data_sha256,
        "rows": rows_sha256,
        "classes": protocol.sessions.base,
        "backbone": protocol.backbone.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json", exclude={"methods"}),
        "base": base,
        "seed": seed,
        "environment": environment,
    })


def build_network(protocol: Protocol, base: str, precision: str, seed: int, weights: Path | None) -> Network:
    """A fresh network with a head of the base classes; its initial values depend on the seed only."""
    torch.manual_seed(torch_seed(seed, "init"))
    backbone = build_backbone(protocol.backbone.name, protocol.data.channels, weights)
    network = Network(backbone, backbone.feature_dim, precision, projected=BASES[base])
    network.head.grow(protocol.sessions.base)
    return network


def train_base(
    network: Network,
    batches: Batches,
    recipe: Recipe,
    device: torch.device,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> None:
    """Train in place by cross-entropy over the base classes, as the recipe says.

    Raises FloatingPointError when the loss is no longer a number.
    """
    network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay
    )
    schedule = make_schedule(optimizer, recipe, len(batches))
    for epoch in range(recipe.epochs):
        total = torch.zeros((), device=device)
        for x, y, _ in batches:
            loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        mean = float(total) / len(batches)
        if not math.isfinite(mean):
            raise FloatingPointError(f"base training: the loss is {mean} in epoch {epoch + 1}; lower the recipe's lr")
        progress(epoch + 1, mean)
    network.eval()


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Stepped once a batch; `steps` batches make an epoch."""
    if recipe.schedule == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=recipe.warmup,
            anneal_strategy="linear", cycle_momentum=False,
        )
    milestones = [epoch * steps for epoch in recipe.milestones] if recipe.schedule == "step" else []
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, recipe.gamma)


def cached_base(folder: Path, key: BaseKey, fresh: Callable[[], Network], train: Callable[[Network], None]) -> Network:
    """The base model of `key`: loaded where it is stored whole, else trained and stored.

    One process trains; others that want the same base wait for it. What is returned has been through the file in both
    cases, so a cached base and a new one are the same bytes.
    """
    path = folder / f"{key.sha256[:32]}.safetensors"
    with locked(path.with_suffix(".lock"), wait=True):
        network = fresh()
        state = read_base(path, key)
        if state is None:
            trained = copy.deepcopy(network)
            train(trained)
            state = {name: value.cpu().contiguous() for name, value in trained.state_dict().items()}
            write_base(path, key, state)
        network.load_state_dict(state)
        return network.eval()


def write_base(path: Path, key: BaseKey, state: dict[str, Tensor]) -> None:
    body = save(state, metadata={"key": json.dumps(key.fields, sort_keys=True)})
    write_atomic(path, hashlib.sha256(body).digest() + body)


def read_base(path: Path, key: BaseKey) -> dict[str, Tensor] | None:
    """The stored state; None where there is none, or where it is damaged or of another key (it is trained again).

    The file is a SHA-256 and the safetensors bytes that it covers: tensors only, never pickled code.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    length = int.from_bytes(body[:8], "little")
    stored = json.loads(body[8 : 8 + length])["__metadata__"]["key"]
    if stored != json.dumps(key.fields, sort_keys=True):
        return None
    try:
        return load(body)
    except SafetensorError:
        return None
