"""The untrained network, before its base session."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.records.identity import BaseStage
from benchmarks.system.streams import generators_kept, seed_generators
from methods.contract import BaseKind
from methods.contract.loading import load_base_kind
from methods.parts.backbones import build_backbone
from methods.parts.network import Network
from protocols.messages import unknown
from protocols.schema import Protocol


def kind_of(base: str, config: dict[str, Any] | None = None) -> BaseKind:
    """The base kind of this name with these settings (default: its own defaults). Raises MethodError."""
    cls = load_base_kind(base)
    return cls(cls.Config.model_validate(config or {}))


def kind_at(stage: BaseStage) -> BaseKind:
    """The base kind of a base session, with its settings. Raises MethodError."""
    return kind_of(stage.base, stage.config)


def build_network(
    protocol: Protocol,
    kind: BaseKind,
    precision: str,
    seed: int,
    weights: Path | None,
    head_gain: float,
    parent: Network | None = None,
) -> Network:
    """A network ready for its base session; its head has the base classes. Values depend on the arguments alone, not on global state.

    With `parent`, the kind goes on with a copy of that network, and keeps its head unless `build` replaces it.
    """
    seed_generators(seed, "init" if parent is None else f"init/{kind.name}")
    if parent is None:
        spec, data = protocol.backbone, protocol.data
        network = Network(build_backbone(spec.name, data.channels, weights, data.size, spec.source), precision)
    else:
        network = copy.deepcopy(parent)
    head = network.head if parent is not None else None
    kind.build(network, protocol.sessions)
    if network.head is not head:
        network.head.grow(protocol.sessions.base)
        for rows in kind.class_rows(network):
            rows.data.mul_(head_gain)
    kind.after_growth(network)
    return network


def untrained(
    protocol: Protocol,
    kinds: Sequence[tuple[BaseKind, float]],
    precision: str,
    seed: int,
    weights: Path | None,
    device: torch.device,
    parent: Network | None = None,
) -> Network:
    """The network of these kinds (each with its head's gain) before any base session, on the CPU, without parts that only base training
    of the earlier ones needs. With `parent`, of the last kind on that network. The global generators are not changed."""
    with generators_kept(device):
        for kind, gain in kinds[-1:] if parent is not None else kinds:
            parent = build_network(protocol, kind, precision, seed, weights, gain, parent)
            if kind is not kinds[-1][0]:
                without(parent, kind.drop)
    assert parent is not None
    return parent


def without(network: Network, parts: Sequence[str]) -> Network:
    """The network, after these of its parts were removed. Raises ValueError for one that it has not."""
    for name in parts:
        if name not in network.parts:
            raise ValueError(f"`drop` of its base kind must name parts that build() makes: {unknown('part', name, sorted(network.parts))}")
        del network.parts[name]
    return network


def to_fast_layout(network: Network, device: torch.device) -> Network:
    """Moves the network to the device in channels-last layout, in which convolutions are fastest on CPU and GPU."""
    network.to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
