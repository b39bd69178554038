"""The untrained network, before its base session."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.system.streams import torch_seed
from methods.contract.registry import load_base_kind
from methods.parts.backbones import build_backbone
from methods.parts.network import Network
from protocols.schema import Protocol


def build_network(protocol: Protocol, base: str, precision: str, seed: int, weights: Path | None, head_gain: float) -> Network:
    """An untrained network whose head has the base classes. Its initial values depend only on the arguments, not on global state."""
    kind = load_base_kind(base)()
    torch.manual_seed(torch_seed(seed, "init"))
    backbone = build_backbone(protocol.backbone.name, protocol.data.channels, weights)
    network = Network(backbone, precision)
    kind.build(network)
    network.head.grow(protocol.sessions.base)
    network.head.weight.data.mul_(head_gain)
    kind.after_growth(network)
    return network


def to_fast_layout(network: Network, device: torch.device) -> Network:
    """Moves the network to the device in channels-last layout, in which convolutions are fastest on CPU and GPU."""
    network.to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
