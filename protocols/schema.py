"""What a protocol may say. Every YAML key is declared here; an unknown key or a wrong type is an error.

Imports nothing of the suite and no torch, so that `--list` and `--help` answer at once.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, ValidationInfo, field_validator, model_validator

SplitName = Literal["paper", "canonical", "canonical-order", "lec"]
Precision = Literal["auto", "fp32", "bf16"]
NAME = r"^[a-z0-9][a-z0-9_-]*$"  # becomes part of a path


class Strict(BaseModel):
    """Immutable, and refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("must not be true or false")
        return value


class Data(Strict):
    """Where the images come from and how they reach the network.

    `train_size` is the side at which training images are stored when it differs from `size`, the side the network sees
    (CUB: stored 256, cropped to 224). Both are reached by resizing width and height independently (no aspect kept),
    which is what LEC-Net's loaders do (methods.md 1.5).
    """

    source: Literal["cifar100", "cub200", "miniimagenet", "omniglot", "mnist", "digits", "folder"]
    path: str | None = None
    classes: int | None = Field(None, ge=2)
    size: int = Field(ge=4, le=512)
    train_size: int | None = Field(None, ge=4, le=512)
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @field_validator("path")
    @classmethod
    def _inside_the_data_root(cls, path: str | None) -> str | None:
        if path is not None and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
            raise ValueError("must be a relative path inside the data root")
        return path

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std need {self.channels} values each, one a channel")
        if any(s <= 0 for s in self.std):
            raise ValueError("std must be positive")
        if (self.source == "folder") != (self.path is not None):
            raise ValueError("path goes with source: folder, and only with it")
        if self.train_size is not None and self.train_size <= self.size:
            raise ValueError("train_size must exceed size; leave it out where they are equal")
        return self


class Augment(Strict):
    """Training-time augmentation: random crop from a zero-padded image, horizontal flip, colour jitter strength."""

    pad: int = Field(0, ge=0, le=64)
    flip: bool = False
    jitter: float = Field(0.0, ge=0.0, lt=1.0)


class Sessions(Strict):
    """`base` classes with all their images, then `count` sessions of `way` classes with `shots` images each."""

    base: int = Field(ge=1)
    way: int = Field(ge=1)
    count: int = Field(ge=0)
    shots: int | Literal["all"]

    @field_validator("shots", mode="before")
    @classmethod
    def _at_least_one(cls, shots: Any) -> Any:
        if shots != "all" and (not isinstance(shots, int) or isinstance(shots, bool) or shots < 1):
            raise ValueError("must be a positive whole number, or all")
        return shots

    @property
    def classes(self) -> int:
        return self.base + self.way * self.count

    def span(self, session: int) -> range:
        """Labels (positions in the class order) that session number `session` introduces."""
        if session == 0:
            return range(self.base)
        start = self.base + (session - 1) * self.way
        return range(start, start + self.way)


class Backbone(Strict):
    """A network of methods/parts/backbones.py, and the weights it starts from."""

    name: str
    pretrained: Literal["imagenet"] | None = None


class Recipe(Strict):
    """How the base session is trained, and what the methods' own settings become under it.

    `methods` maps a method (`ft_cnn`) or one preset of it (`lecnet:code`) to values that replace the preset's.
    `bases` maps a base model (benchmarks.base_session.BASES) to values that replace the recipe's for it alone.
    `precision` is that of the backbone's arithmetic, in every session; `auto` is bf16 where the processor has it.
    """

    epochs: int = Field(ge=1)
    batch: int = Field(128, ge=1)
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["step", "onecycle", "constant"] = "step"
    milestones: tuple[PositiveInt, ...] = ()
    gamma: float = Field(0.1, gt=0, le=1)
    warmup: float = Field(0.2, gt=0, lt=1, description="onecycle: share of the steps in which the rate rises")
    head_gain: float = Field(1.0, gt=0, description="factor on the base head's initial rows, uniform within 1/sqrt(d)")
    precision: Precision = "fp32"
    bases: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}

    @field_validator("bases")
    @classmethod
    def _settings_of_a_base(cls, bases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        settings = set(cls.model_fields) - {"bases", "methods", "precision"}
        for base, values in bases.items():
            if foreign := sorted(set(values) - settings):
                raise ValueError(f"{base}: {foreign[0]!r} is not among {', '.join(sorted(settings))}")
        return bases

    @model_validator(mode="after")
    def _bases_are_recipes(self) -> Self:
        for base in self.bases:
            try:
                self.for_base(base)
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(str(part) for part in ("bases", base, *fault["loc"]))
                raise ValueError(f"{where}: {fault['msg'].removeprefix('Value error, ')}") from None
        return self

    def for_base(self, base: str) -> Recipe:
        """The settings under which this base model is trained."""
        return Recipe.model_validate({**self.model_dump(exclude={"bases", "methods"}), **self.bases.get(base, {})})


class Canonical(Strict):
    """Facts that the canonical split must show before anything is trained (methods.md 1.1-1.3)."""

    base_train: PositiveInt
    base_test: PositiveInt
    shots_sha256: str | None = None


class Protocol(Strict):
    """One benchmark: data, sessions, backbone, recipes, and who takes part by default."""

    name: str = Field(pattern=NAME)
    title: str
    data: Data
    augment: Augment = Augment(pad=0, jitter=0.0)
    sessions: Sessions
    backbone: Backbone
    recipes: dict[Annotated[str, Field(pattern=NAME)], Recipe]
    recipe: str
    splits: tuple[SplitName, ...] = ("paper",)
    seeds: str = Field("0-9", pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$")
    methods: tuple[str, ...] | None = None
    without: tuple[str, ...] = Field((), description="where `methods` is not given: those of methods/ that do not take part")
    canonical: Canonical | None = None
    notes: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.recipe not in self.recipes:
            raise ValueError(f"recipe: {self.recipe!r} is not among recipes ({', '.join(self.recipes)})")
        if not self.splits:
            raise ValueError("splits: at least one is needed")
        if self.data.classes is not None and self.data.classes < self.sessions.classes:
            raise ValueError(f"data.classes is {self.data.classes}, but the sessions need {self.sessions.classes}")
        return self


class PublishedRow(Strict):
    """One row of a printed table: accuracies in percent for sessions 0..T (null: not printed), and what one must
    know to compare it."""

    method: str
    presets: tuple[str, ...] = Field((), description="those of the method that the row can stand beside; empty: all")
    label: str
    source: str
    accuracy: tuple[float | None, ...]
    backbone: str
    split: str
    seeds: str
    selection: str
    note: str = ""
