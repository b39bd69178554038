"""Convolutions whose weights are stored in the eigenvectors of their inputs' covariance, for WaRP (docs/modern.md 2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.backbone import Backbone
from methods.parts.network import Network
from methods.parts.resnets import late_stages


class RotatedConv(nn.Module):
    """The convolution with weights `coefficients` V', for eigenvectors V [k, k] of its inputs and coefficients [out, k]. `frozen` [out, k]
    says which coefficients stay."""

    bias: Tensor | None
    basis: Tensor
    frozen: Tensor

    def __init__(self, conv: nn.Conv2d, basis: Tensor) -> None:
        super().__init__()
        self.shape, self.stride, self.padding = conv.weight.shape, conv.stride, conv.padding
        self.bias = conv.bias
        self.register_buffer("basis", basis)
        self.coefficients = nn.Parameter(conv.weight.data.flatten(1) @ basis)
        self.register_buffer("frozen", torch.zeros_like(self.coefficients, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.coefficients @ self.basis.T).view(self.shape)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def late_convolutions(backbone: Backbone) -> dict[str, nn.Conv2d]:
    """Convolutions after the second stage, 1x1 shortcuts too, by their names; of small networks, those of the last block. Raises ValueError
    if there are none, or for one that a `RotatedConv` would not compute."""
    late = {id(module) for stage in late_stages(backbone) for module in stage.modules()}
    found = {name: module for name, module in backbone.named_modules() if id(module) in late and isinstance(module, nn.Conv2d)}
    if not found:
        raise ValueError("warp: it rotates convolutions, and the last block of this network has none")
    for name, conv in found.items():
        if hindrance := cannot_be_rotated(conv):
            raise ValueError(f"warp: it cannot rotate the convolution {name}, which has {hindrance}")
    return found


def cannot_be_rotated(conv: nn.Conv2d) -> str:
    """What a convolution has that `RotatedConv` lacks; empty if nothing."""
    if conv.groups != 1:
        return f"groups {conv.groups}"
    if conv.dilation != (1, 1):
        return f"dilation {conv.dilation}"
    if conv.padding_mode != "zeros":
        return f"padding_mode {conv.padding_mode}"
    if isinstance(conv.padding, str):
        return f"padding {conv.padding!r}, where numbers are needed"
    plain = type(conv).forward is nn.Conv2d.forward and type(conv)._conv_forward is nn.Conv2d._conv_forward
    return "" if plain else f"a forward of its own ({type(conv).__name__})"


def rotate(network: Network, batches: Iterable[Tensor]) -> None:
    """Replaces the late convolutions by rotated ones, in the eigenvectors of the mean over batches of images of X X', X being the
    convolution's input as columns (im2col), not centred. The network computes what it did, up to rounding."""
    convolutions, sums = late_convolutions(network.backbone), dict[str, Tensor]()

    def note(name: str, conv: nn.Conv2d, x: Tensor) -> None:
        with torch.autocast(x.device.type, enabled=False):  # no eigenvectors in bf16
            columns = F.unfold(x.float(), conv.kernel_size, padding=conv.padding, stride=conv.stride)  # type: ignore[arg-type]
            own = torch.einsum("nkl,nml->km", columns, columns)
        sums[name] = sums[name] + own if name in sums else own

    hooks = [
        conv.register_forward_pre_hook(lambda module, inputs, name=name: note(name, module, inputs[0]))
        for name, conv in convolutions.items()
    ]
    for images in batches:
        network.embed(images)
    for hook in hooks:
        hook.remove()
    for name, conv in convolutions.items():
        parent, _, own_name = name.rpartition(".")
        setattr(network.backbone.get_submodule(parent), own_name, RotatedConv(conv, torch.linalg.eigh(sums[name])[1]))


def rotated(network: Network) -> Iterator[RotatedConv]:
    """The rotated convolutions of a network."""
    return (module for module in network.backbone.modules() if isinstance(module, RotatedConv))


def freeze_most_important(layers: Sequence[RotatedConv], importance: Sequence[Tensor], share: float) -> None:
    """Freezes, beside what is frozen, the `share` of all coefficients with the largest importance, by one threshold over all layers."""
    values = torch.cat([own.flatten() for own in importance])
    threshold = values.topk(max(1, round(share * len(values)))).values[-1] if share else torch.tensor(torch.inf)
    for layer, own in zip(layers, importance, strict=True):
        layer.frozen |= (own >= threshold) & (own > 0)
