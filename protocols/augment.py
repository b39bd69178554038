"""Schema of training-time augmentation. benchmarks/data/transforms.py carries it out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocols.fields import Share, Strict

Scale = tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
Ratio = tuple[Annotated[float, Field(ge=0.1, le=10)], Annotated[float, Field(ge=0.1, le=10)]]
Policy = Literal["cifar10", "imagenet"]


class Augment(Strict):
    """Training-time augmentation. What is set is done in this order: crop, flip, AutoAugment, colour jitter, grey scale, cutout.

    The crop is a window of the zero-padded image. If `scale` is given, it is instead a box of the image, resized to the size that
    the network sees; with `crop_or_resized`, each image has the one or the other with probability 1/2.
    Nothing here is drawn per batch: every image has its own choices.
    """

    pad: int = Field(0, ge=0, le=64, description="zeros on each side, in pixels, before the crop")
    flip: bool = Field(False, description="mirrors left and right with probability 1/2")
    jitter: float = Field(0.0, ge=0.0, lt=1.0, description="brightness, contrast, saturation: factors within 1 +- jitter")
    hue: float = Field(0.0, ge=0.0, le=0.5, description="largest shift of the hue, in turns of the colour circle")
    jitter_p: float = Field(1.0, gt=0, le=1, description="probability of jitter and hue")
    scale: Scale | None = Field(None, description="resized crop: smallest and largest area of the box, as shares of the image")
    ratio: Ratio = Field((3 / 4, 4 / 3), description="resized crop: smallest and largest width / height of the box")
    crop_or_resized: bool = False
    autoaugment: Policy | None = Field(None, description="policy of AutoAugment (arXiv 1805.09501), as torchvision has it")
    autoaugment_p: float = Field(1.0, gt=0, le=1, description="probability that the policy is applied to an image at all")
    grey: Share = Field(0.0, description="probability of grey scale")
    cutout: int = Field(0, ge=0, le=512, description="side of one black square, in pixels; its centre lies anywhere in the image")

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        for name in ("scale", "ratio"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name} is {list(limits)}, but the smaller number must come first")
        if self.scale is None:
            if self.crop_or_resized:
                raise ValueError("crop_or_resized needs scale, the areas of the resized crop, such as scale: [0.25, 1]")
            if self.ratio != Augment.model_fields["ratio"].default:
                raise ValueError("ratio needs scale, the areas of the resized crop, such as scale: [0.25, 1]")
        elif self.pad and not self.crop_or_resized:
            raise ValueError(
                "pad must be 0 beside scale, as a resized crop is not padded; crop_or_resized: true chooses one of them per image"
            )
        if self.jitter_p < 1 and not (self.jitter or self.hue):
            raise ValueError("jitter_p needs jitter or hue")
        if self.autoaugment_p < 1 and self.autoaugment is None:
            raise ValueError("autoaugment_p needs autoaugment, the name of a policy: cifar10 or imagenet")
        return self

    def check(self, size: int, channels: int) -> None:
        """Raises ValueError if images of `size` x `size` pixels that the network sees cannot be augmented so."""
        if self.pad >= size:
            raise ValueError(f"augment.pad is {self.pad}, but must be smaller than data.size, {size}")
        if self.cutout > size:
            raise ValueError(f"augment.cutout is {self.cutout}, but must be at most data.size, {size}")
        for name in ("hue", "grey"):
            if getattr(self, name) and channels != 3:
                raise ValueError(f"augment.{name} needs data.channels: 3")
