"""Reference loops for timing: plain torch on prepared batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.timing.paired import Work
from methods.parts.backbones import build_backbone
from protocols.schema import Protocol

Batch = tuple[Tensor, Tensor]


class BareNet(nn.Module):
    """The protocol's backbone and a linear head, without the suite's own network class."""

    def __init__(self, backbone: str, channels: int, classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, channels)
        self.head = nn.Linear(self.backbone.feature_dim, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def bare_net(protocol: Protocol, classes: int, device: torch.device) -> BareNet:
    return BareNet(protocol.backbone.name, protocol.data.channels, classes).to(device)


def ready_batches(images: Tensor, labels: Tensor, size: int, layout: torch.memory_format) -> list[Batch]:
    """Float batches in memory, neither shuffled nor augmented, so that a loop over them times the arithmetic only."""
    x = images.float().div_(255).sub_(0.5).div_(0.25)
    return [(part.contiguous(memory_format=layout), own) for part, own in zip(x.split(size), labels.split(size), strict=True)]


def training(net: BareNet, batches: list[Batch], steps: int, bf16: bool, fast: bool, compiled: str | None) -> Work:
    """`steps` steps of SGD with momentum, cycling through `batches`. `fast`: channels last; `compiled`: mode of torch.compile."""
    if fast:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    device_type = next(net.parameters()).device.type
    endless: Iterator[Batch] = itertools.cycle(batches)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(device_type, torch.bfloat16, enabled=bf16):
            logits = net(x)
        return F.cross_entropy(logits.float(), y)

    forward: Callable[[Tensor, Tensor], Tensor] = torch.compile(loss_of, dynamic=False, mode=compiled) if compiled else loss_of

    def work() -> int:
        images = 0
        net.train()
        for x, y in itertools.islice(endless, steps):
            loss = forward(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images += len(x)
        return images

    return work
