"""Width and number of parameters of each backbone, for pages, which load no network. tests/methods/test_parts.py builds them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """`width` features; `fixed` parameters, and `per_channel` more for each channel of the images. Without a head."""

    width: int
    fixed: int
    per_channel: int

    def parameters(self, channels: int) -> int:
        return self.fixed + channels * self.per_channel


SIZES = {
    "conv2": Size(width=64, fixed=37_120, per_channel=9 * 64),
    "conv4": Size(width=64, fixed=111_104, per_channel=9 * 64),
    "mlp": Size(width=100, fixed=10_200, per_channel=784 * 100),
    "resnet12": Size(width=640, fixed=12_422_400, per_channel=9 * 64 + 64),
    "resnet18": Size(width=512, fixed=11_167_104, per_channel=49 * 64),
    "resnet18_2223": Size(width=512, fixed=15_887_744, per_channel=49 * 64),
    "resnet18_3x3": Size(width=512, fixed=11_167_104, per_channel=9 * 64),
    "resnet20": Size(width=64, fixed=271_392, per_channel=9 * 16),
}


def in_words(name: str, channels: int) -> str:
    """Text such as `resnet20 (64-d, 271,824 parameters)`; the name alone for a backbone that is not ours any more."""
    size = SIZES.get(name)
    return f"{name} ({size.width}-d, {size.parameters(channels):,} parameters)" if size else name
