"""Schema of a protocol's backbone and its weights; width and number of parameters of each, for pages, which load no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import field_validator, model_validator

from protocols.fields import Deviation, Name, Sha256, Share, Strict


class Weights(Strict):
    """A file of tensors in `weights/` below the data root (.safetensors, or .pth of tensors alone), known by its SHA-256.

    `mean` and `std` are those of the images that the weights were trained on; `data.mean` and `data.std` must equal them.
    """

    file: str
    sha256: Sha256
    mean: tuple[Share, ...] | None = None
    std: tuple[Deviation, ...] | None = None

    @field_validator("file")
    @classmethod
    def _a_file_of_tensors(cls, file: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(safetensors|pth)", file):
            raise ValueError("must be a file name without folder that ends in .safetensors or .pth")
        return file


class Backbone(Strict):
    """A network of methods/parts/backbones.py, and the weights it starts from.

    `pretrained` says which images the weights have seen. The file is `weights`; without that entry, torchvision's for the backbone.
    """

    name: Name
    pretrained: Literal["imagenet"] | None = None
    weights: Weights | None = None

    @model_validator(mode="after")
    def _says_what_its_weights_have_seen(self) -> Self:
        if self.weights is not None and self.pretrained is None:
            raise ValueError("weights: say with pretrained which images they have seen, such as pretrained: imagenet")
        return self


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
