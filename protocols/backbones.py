"""Schema of a protocol's backbone and its weights; width and number of parameters of each, for pages, which load no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, field_validator, model_validator

from protocols.features import Seen
from protocols.fields import Deviation, Line, Sha256, Share, Strict, a_name

FOREIGN = ("torchvision", "timm", "module")
"""Where networks come from that are not ours: `torchvision:NAME`, `timm:NAME`, and `module:NAME`, a file of the folder of methods."""


def a_backbone(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon:
        return a_name(text)
    if kind not in FOREIGN:
        raise ValueError(f"must be one of ours, or {', '.join(f'{kind}:NAME' for kind in FOREIGN)}")
    form, said = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", "letters, 0-9, _, - and ."
    if kind == "module":
        form, said = r"[a-z][a-z0-9_]{0,63}", "a-z, 0-9 and _"
    if not re.fullmatch(form, name):
        raise ValueError(f"{kind}:NAME needs a name of {said}, never a path")
    return text


class Weights(Strict):
    """A file of tensors in `weights/` below the data root (.safetensors, or .pth of tensors alone), known by its SHA-256.

    `mean` and `std` are those of the images that the weights were trained on; `data.mean` and `data.std` must equal them. `novel_seen`
    says whether these images show the novel classes.
    """

    file: str
    sha256: Sha256
    mean: tuple[Share, ...] | None = None
    std: tuple[Deviation, ...] | None = None
    novel_seen: Seen | None = None

    @field_validator("file")
    @classmethod
    def _a_file_of_tensors(cls, file: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(safetensors|pth)", file):
            raise ValueError("must be a file name without folder that ends in .safetensors or .pth")
        return file


class Backbone(Strict):
    """A network of methods/parts/backbones.py, or one that is not ours (`FOREIGN`), and the weights it starts from.

    `pretrained` says which images the weights have seen. The file is `weights`; without that entry, torchvision's for the backbone.
    `source` is the hash of the file behind `module:NAME` and is filled in when the protocol is loaded. A protocol that states it holds
    for that file alone.
    """

    name: Annotated[str, AfterValidator(a_backbone)]
    pretrained: Line | None = None
    weights: Weights | None = None
    source: Sha256 | None = None

    @property
    def module(self) -> str:
        """NAME of `module:NAME`, else ''."""
        kind, _, name = self.name.partition(":")
        return name if kind == "module" else ""

    @model_validator(mode="after")
    def _says_what_its_weights_have_seen(self) -> Self:
        if self.weights is None and self.pretrained not in (None, "imagenet"):
            raise ValueError("pretrained: must be imagenet, whose weights are known, or stand beside weights of your own")
        if self.weights is not None and self.pretrained is None:
            raise ValueError("weights: pretrained is required, and says which images they have seen, such as pretrained: imagenet")
        if self.weights is not None and ":" in self.name and (self.weights.mean is None or self.weights.std is None):
            raise ValueError(f"weights: {self.name} needs mean and std of the images that they were trained on; networks differ in them")
        if self.source is not None and not self.module:
            raise ValueError("source: is for module:NAME alone")
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
