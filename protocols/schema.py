"""Schema of protocol files. Every YAML key is declared here; an unknown key or a wrong type is an error.

It imports neither torch nor the suite's other packages, so that `--list` and `--help` answer at once.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from protocols.augment import Augment
from protocols.backbones import Backbone
from protocols.data import Data
from protocols.features import check_seen
from protocols.fields import MOST, MOST_CLASSES, Epoch, Line, Name, Sha256, Strict, Text, once_each
from protocols.like import filled
from protocols.messages import explain
from protocols.seeds import parse_seeds
from protocols.training import Training, Trains

SplitName = Literal["paper", "canonical", "canonical-order", "lec"]
DRAWN_ORDERS: tuple[SplitName, ...] = ("paper", "lec")
"""Splits whose class order depends on the seed; the others have the order of the labels."""
Precision = Literal["auto", "fp32", "bf16"]


class Sessions(Strict):
    """`base` classes with all their images, then `count` sessions of `way` classes with `shots` images each."""

    base: int = Field(ge=1, le=MOST_CLASSES)
    way: int = Field(ge=1, le=MOST_CLASSES)
    count: int = Field(ge=0, le=1000)
    shots: int | Literal["all"]

    @field_validator("shots", mode="before")
    @classmethod
    def _at_least_one(cls, shots: Any) -> Any:
        if shots != "all" and (not isinstance(shots, int) or isinstance(shots, bool) or not 1 <= shots <= MOST):
            raise ValueError(f"must be a positive whole number of at most {MOST:,}, or all")
        return shots

    @model_validator(mode="after")
    def _classes_can_be_counted(self) -> Self:
        if self.classes > MOST_CLASSES:
            raise ValueError(f"base + way * count is {self.classes:,} classes; at most {MOST_CLASSES:,} are possible")
        return self

    @property
    def classes(self) -> int:
        return self.base + self.way * self.count

    def span(self, session: int) -> range:
        """Labels (positions in the class order) that session number `session` introduces."""
        if session == 0:
            return range(self.base)
        start = self.base + (session - 1) * self.way
        return range(start, start + self.way)


class BaseRecipe(Training):
    """Settings for the training of one base model.

    `precision` is that of the backbone's arithmetic, in every session; `auto` is bf16 if the processor supports it. With `stored_views`,
    outputs of the part that `trains` leaves frozen are computed once for all seeds: of each image as it is, and of so many augmented views.
    """

    without_effect: ClassVar[tuple[str, ...]] = ("onecycle", "constant")  # older records may have milestones beside these

    epochs: Epoch
    batch: int = Field(128, ge=1)
    lr: float = Field(gt=0)
    gamma: float = Field(0.1, gt=0, le=1, description="step: factor on the rate at each milestone")
    head_gain: float = Field(1.0, gt=0, description="factor on the initial rows of the base head's classes, uniform within 1/sqrt(d)")
    precision: Precision = "fp32"
    trains: Trains = Field("all", description="of the backbone, in the base session; the sessions after it train no more of it")
    stored_views: int | None = Field(None, ge=1, le=100, description="augmented views of an image, the same for all seeds, shown in turn")

    @model_validator(mode="after")
    def _views_of_what_is_frozen(self) -> Self:
        if self.stored_views and self.trains == "all":
            raise ValueError("stored_views goes with a part that stays frozen: trains must be none or last_block, and is all")
        return self

    @model_validator(mode="after")
    def _ramp_ends(self) -> Self:
        if self.ramp_epochs > self.epochs:
            raise ValueError(f"ramp_epochs must be at most epochs, {self.epochs}")
        return self


class Recipe(BaseRecipe):
    """Settings for the training of base models, and changes of the methods' own settings.

    `methods` maps a method (`ft_cnn`) or one preset of it (`lecnet:code`) to values that replace the preset's.
    `bases` maps a base kind (methods/bases/) to values that replace the recipe's for it alone, or the kind's own. Its `after` names the
    kind whose trained network this one goes on with, in place of the kind's own parent.
    """

    like: Line | None = Field(
        None, description="recipe, or shipped PROTOCOL/RECIPE, whose values this one has where it gives none; None once read"
    )
    bases: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}

    @field_validator("bases")
    @classmethod
    def _no_precision_of_a_base(cls, bases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for base, values in bases.items():
            if "precision" in values:
                raise ValueError(f"{base}: precision is the recipe's, for all base kinds alike")
            if not isinstance(values.get("after"), str | None):
                raise ValueError(f"{base}.after: must be the name of a base kind, or null for the kind's own parent")
        return bases

    @model_validator(mode="after")
    def _bases_are_recipes(self) -> Self:
        for base in self.bases:
            try:
                self.for_base(base)
            except ValidationError as error:
                raise ValueError(f"bases.{base}.{explain(error)}") from None
        return self

    @property
    def shared(self) -> BaseRecipe:
        """The settings of all base kinds that `bases` does not name. Never kept: a changed copy of a recipe would keep it, too."""
        return BaseRecipe.model_validate(self.model_dump(exclude={"like", "bases", "methods"}))

    def changes(self, base: str) -> dict[str, Any]:
        """The recipe's settings that `bases` replaces for this base kind."""
        return {key: value for key, value in self.bases.get(base, {}).items() if key in BaseRecipe.model_fields}

    def of_kind(self, base: str) -> dict[str, Any]:
        """What `bases` says of this base kind's own settings (its Config). They are checked where kinds are known."""
        return {key: value for key, value in self.bases.get(base, {}).items() if key not in (*BaseRecipe.model_fields, "after")}

    @property
    def parents(self) -> dict[str, str]:
        """Kind -> the kind that it goes on with here, where `bases` says so. They are checked where kinds are known."""
        return {base: after for base, values in self.bases.items() if (after := values.get("after")) is not None}

    def for_base(self, base: str) -> BaseRecipe:
        """The settings under which this base kind is trained."""
        changes = self.changes(base)
        return BaseRecipe.model_validate({**self.shared.model_dump(), **changes}) if changes else self.shared


class Canonical(Strict):
    """Facts about the canonical split that are checked before training (docs/methods.md 1.1-1.3)."""

    base_train: int = Field(ge=1, le=10**9)
    base_test: int = Field(ge=1, le=10**9)
    shots_sha256: Sha256 | None = None


class TitledFile(Strict):
    """Keys that every protocol or study file has: its name, equal to the file's name, and a title."""

    name: Name
    title: Line


class Protocol(TitledFile):
    """One benchmark: data, sessions, backbone, recipes, and the methods that take part by default."""

    data: Data
    augment: Augment = Augment()
    sessions: Sessions
    backbone: Backbone
    recipes: Annotated[dict[Name, Recipe], BeforeValidator(filled)]
    recipe: Name
    splits: Annotated[tuple[SplitName, ...], Field(min_length=1), AfterValidator(once_each)] = ("paper",)
    seeds: str = "0-9"
    methods: Annotated[tuple[Line, ...], Field(min_length=1), AfterValidator(once_each)] | None = None
    without: Annotated[tuple[Line, ...], AfterValidator(once_each)] = Field(
        (), description="where `methods` is not given: those of methods/ that do not take part"
    )
    canonical: Canonical | None = None
    printed: Name | None = Field(None, description="protocol whose published rows are shown, if it is not this one")
    notes: Text = ""

    @property
    def printed_on(self) -> str:
        """Name of the protocol under which published rows are found."""
        return self.printed or self.name

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, seeds: str) -> str:
        parse_seeds(seeds)
        return seeds

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.recipe not in self.recipes:
            raise ValueError(f"recipe: {self.recipe!r} is not among recipes ({', '.join(self.recipes)[:200]})")
        if self.data.classes is not None and self.data.classes < self.sessions.classes:
            raise ValueError(f"data.classes is {self.data.classes}, but the sessions need {self.sessions.classes}")
        self.augment.check(self.data.size, self.data.channels)
        self._check_features()
        if self.backbone.pretrained == "imagenet" and self.data.channels != 3:
            raise ValueError(f"backbone.pretrained: {self.backbone.pretrained} weights need data.channels: 3")
        if self.backbone.weights is not None:
            check_seen(self.data.source, str(self.backbone.pretrained), self.backbone.weights.novel_seen)
        for name in ("mean", "std"):
            own = getattr(self.backbone.weights, name, None)
            if own is not None and own != getattr(self.data, name):
                raise ValueError(f"data.{name} must be that of backbone.weights, {list(own)}, on which they were trained")
        return self

    def _check_features(self) -> None:
        """Raises ValueError unless stored features, backbone identity and recipes that train heads alone come together."""
        if self.data.of_vectors != (self.backbone.name == "identity"):
            raise ValueError("backbone.name: identity goes with data.source: features, and only with it")
        if not self.data.of_vectors:
            return
        if self.augment != Augment():
            raise ValueError("augment: stored features cannot be augmented; leave it out")
        for name, recipe in self.recipes.items():
            for where, own in {name: recipe, **{f"{name}.bases.{kind}": recipe.for_base(kind) for kind in recipe.bases}}.items():
                if own.trains != "none" or own.stored_views is not None:
                    raise ValueError(f"recipes.{where}: on stored features a recipe says trains: none, and no stored_views")
