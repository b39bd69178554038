"""Schema of a protocol's data: where the images come from, or the stored features that stand in their place."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from protocols.features import WIDEST, Features
from protocols.fields import MOST_CLASSES, Deviation, Share, Strict


class Data(Strict):
    """Source of the images, their sizes and their normalisation.

    `train_size` is the side at which training images are stored when it differs from `size`, the side the network sees
    (CUB: stored 256, cropped to 224). Images are resized to both without keeping their aspect ratio, as in LEC-Net's loaders
    (docs/methods.md 1.5). `mean` and `std` are per channel, for pixel values from 0 to 1.

    Under `source: features` an "image" is one stored feature, `channels` numbers at one position, and `features` says whose; `size`,
    `mean` and `std` are then left out. `texts`: the text vectors of classes that lie beside the features belong to the data set, too.
    """

    source: Literal["cifar100", "cub200", "miniimagenet", "omniglot", "mnist", "digits", "folder", "features"]
    path: str | None = None
    classes: int | None = Field(None, ge=2, le=MOST_CLASSES)
    size: int = Field(le=512)
    train_size: int | None = Field(None, ge=4, le=512)
    channels: int = Field(3, ge=1, le=WIDEST)
    mean: tuple[Share, ...]
    std: tuple[Deviation, ...]
    features: Features | None = None
    texts: bool = False

    @property
    def of_vectors(self) -> bool:
        """Whether what is shown are stored features instead of images."""
        return self.source == "features"

    @model_validator(mode="before")
    @classmethod
    def _features_have_no_pixels(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("source") == "features":
            return {"size": 1, "mean": [], "std": [], **data}
        return data

    @field_validator("size")
    @classmethod
    def _large_enough(cls, size: int, info: ValidationInfo) -> int:
        of_vectors = info.data.get("source") == "features"
        if of_vectors and size != 1:
            raise ValueError("goes with images; leave it out with source: features")
        if size < 4 and not of_vectors:
            raise ValueError("must be at least 4")
        return size

    @field_validator("channels")
    @classmethod
    def _grey_or_colour(cls, channels: int, info: ValidationInfo) -> int:
        if channels not in (1, 3) and info.data.get("source") != "features":
            raise ValueError("must be 1 or 3")
        return channels

    @field_validator("path")
    @classmethod
    def _inside_the_data_root(cls, path: str | None) -> str | None:
        if path is None:
            return path
        parts = PurePosixPath(path).parts
        if PurePosixPath(path).is_absolute() or ".." in parts or not parts or path.startswith("~"):
            raise ValueError("must be a relative path inside the data root, below it, and without ~")
        if not path.isprintable() or not path.strip() or "\\" in path or len(path) > 500 or any(len(part.encode()) > 255 for part in parts):
            raise ValueError("must be a relative path of printable names with / between them, at most 500 letters")
        return path

    @field_validator("texts")
    @classmethod
    def _beside_features(cls, texts: bool, info: ValidationInfo) -> bool:
        if texts and info.data.get("source") != "features":
            raise ValueError("needs source: features, beside which text vectors lie")
        return texts

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wanted = 0 if self.of_vectors else self.channels
        if len(self.mean) != wanted or len(self.std) != wanted:
            raise ValueError(f"mean and std need {wanted} values each, one a channel" if wanted else "features need neither mean nor std")
        if (self.source in ("folder", "features")) != (self.path is not None):
            raise ValueError("path must be given with source: folder or features, and only with these")
        if self.of_vectors != (self.features is not None) or (self.of_vectors and self.train_size is not None):
            raise ValueError("features must be given with source: features, and only with it; train_size goes with images")
        if self.train_size is not None and self.train_size <= self.size:
            raise ValueError("train_size must exceed size; leave it out where they are equal")
        return self
