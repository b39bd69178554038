"""Identity of a run: all settings that determine its result, and the path of its record.

Two identities are the same run if all their values are equal. A field that one of them lacks was added later and counts as having its
default, so that a new field with a default changes no run. (Pydantic fills in the defaults of the protocol's models; for a method's
`config`, the newer identity says which of its values are defaults.) A changed default needs a new version, with a migration
(migrations.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from protocols.fields import Strict
from protocols.schema import Augment, Backbone, BaseRecipe, Data, Sessions

DIGITS = 8
"""Number of hexadecimal digits at the end of a folder's name."""
MOST_LETTERS = 80
"""Maximal length of the variant in a folder's name. The digits after it distinguish names that are cut off."""
Selection = Literal["last", "val", "oracle_test"]
NO_SETTINGS = ("seed", "config", "defaults", "images", "precision", "base_config", "base_defaults", "base_parents")
"""Fields that `same_settings` does not compare directly."""


class BaseStage(Strict):
    """One base session: its kind, what the recipe changes for it alone, the kind's own settings, and which of these are defaults."""

    base: str
    version: int = 1
    settings: dict[str, Any] = {}
    config: dict[str, Any] = {}
    defaults: tuple[str, ...] = ()

    def same_as(self, other: BaseStage) -> bool:
        mine, theirs = ((stage.base, stage.version, stage.settings) for stage in (self, other))
        return mine == theirs and same_config(self.config, self.defaults, other.config, other.defaults)

    @property
    def changed(self) -> dict[str, Any]:
        """The kind's settings that are not at their default."""
        return {key: value for key, value in self.config.items() if key not in self.defaults}


class Identity(Strict):
    """All settings that determine a run's result. Two records of one identity must agree; in the same environment, byte for byte.

    `images` (SHA-256) and `precision` (fp32, tf32 or bf16) are None in a request for a run that accepts any.
    `defaults` names the fields of `config` that had the default of the method's `version`; empty in records of schema 1 and 2.
    `asked_base` is the base kind named with @KIND, unless it is the method's own. `base_parents` are the base sessions before the last.
    `overrides` holds changed values of the base kind, too, under keys such as `cosine.scale`.
    """

    suite: int
    protocol: str
    data: Data
    augment: Augment
    sessions: Sessions
    backbone: Backbone
    recipe: str
    recipe_settings: BaseRecipe
    split: str
    method: str
    preset: str
    overrides: dict[str, Any]
    config: dict[str, Any]
    defaults: tuple[str, ...] = ()
    version: int
    base: str
    base_version: int = 1
    base_settings: dict[str, Any] = {}  # what the recipe changes for this base kind alone
    base_config: dict[str, Any] = {}
    base_defaults: tuple[str, ...] = ()
    base_parents: tuple[BaseStage, ...] = ()
    asked_base: str | None = None
    seed: int
    images: str | None = None
    precision: str | None = None

    @property
    def stages(self) -> tuple[BaseStage, ...]:
        """The base sessions in order; the last is that of the run's own base kind."""
        own = BaseStage(
            base=self.base, version=self.base_version, settings=self.base_settings, config=self.base_config, defaults=self.base_defaults
        )
        return (*self.base_parents, own)

    def recipe_of(self, stage: BaseStage) -> BaseRecipe:
        """The recipe with which a base session is trained."""
        if not stage.settings:
            return self.recipe_settings
        return BaseRecipe.model_validate({**self.recipe_settings.model_dump(), **stage.settings})

    @property
    def base_recipe(self) -> BaseRecipe:
        """The recipe with which this run's base model is trained."""
        return self.recipe_of(self.stages[-1])

    @property
    def base_session(self) -> str:
        """Equal for runs whose base models differ in the seed alone."""
        return repr((self.stages, self.recipe_settings, self.split, self.selection == "val"))

    @property
    def wanted_precision(self) -> str:
        """The precision that the run was given, else its recipe's, where `auto` leaves it to the machine."""
        return self.precision or self.recipe_settings.precision

    @property
    def variant(self) -> str:
        """Method and preset, such as `lecnet:paper`, with @KIND on another base kind than its own, and with changed parameters, such as
        `lecnet:paper[gamma=0.6]`."""
        changes = ",".join(f"{key}={json.dumps(value, sort_keys=True)}" for key, value in sorted(self.overrides.items()))
        at = f"@{self.asked_base}" if self.asked_base else ""
        return f"{self.method}:{self.preset}{at}" + (f"[{changes}]" if changes else "")

    def name(self, with_recipe: bool = False) -> str:
        """How messages name the run; with its recipe where runs of several are told."""
        return run_name(self.variant, self.seed, self.recipe if with_recipe else "")

    @property
    def values(self) -> dict[str, Any]:
        """The method's parameters and its base kinds' settings, by the names that `overrides` uses."""
        return {**self.config, **{f"{stage.base}.{key}": value for stage in self.stages for key, value in stage.config.items()}}

    @property
    def selection(self) -> Selection:
        """How a session's epoch is chosen. A method gets test accuracies only for `oracle_test`, which its record states."""
        said = self.config.get("selection")
        return "val" if said == "val" else "oracle_test" if said == "oracle_test" else "last"

    def same_as(self, other: Identity) -> bool:
        """Whether both are the same run. `images` and `precision` of None match any value."""
        if self.seed != other.seed or not self.same_settings(other):
            return False
        pairs = ((self.images, other.images), (self.precision, other.precision))
        return all(mine == theirs or None in (mine, theirs) for mine, theirs in pairs)

    def same_settings(self, other: Identity) -> bool:
        """Whether both agree in everything except seed, images and precision."""
        mine, theirs = ({name: value for name, value in dict(identity).items() if name not in NO_SETTINGS} for identity in (self, other))
        return mine == theirs and same_config(self.config, self.defaults, other.config, other.defaults) and self.same_base(other)

    def same_base(self, other: Identity) -> bool:
        """Whether both start from base sessions of the same kinds with the same settings of their own."""
        stages = list(zip(self.stages, other.stages, strict=False))
        return len(self.stages) == len(other.stages) and all(one.same_as(another) for one, another in stages)

    @property
    def group(self) -> Path:
        """Folder of all runs of this protocol, recipe and split, under records/."""
        return Path(self.protocol) / f"{self.recipe}.{self.split}"

    @property
    def readable(self) -> str:
        """Beginning of the folder's name. Several variants may share it."""
        return re.sub(r"[^A-Za-z0-9=.,@_-]+", "-", self.variant).strip("-")[:MOST_LETTERS]

    @property
    def digest(self) -> str:
        """Digits of a hash of all values except the seed. Values at their default are included: a changed default gives another run,
        even if the version was not raised. (A new field changes the digits of new runs; older records are still found.)"""
        values = self.model_dump(mode="json", exclude={"seed", "defaults", "base_defaults"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:DIGITS]

    @property
    def stem(self) -> Path:
        """Path of a new record under records/, without suffix. Raises ValueError if images or precision is None."""
        if self.images is None or self.precision is None:
            raise ValueError("a run has a place once its images and precision are known")
        return self.group / f"{self.readable}-{self.digest}" / f"seed{self.seed:02d}"

    @property
    def old_folder(self) -> Path:
        """Folder of records of schema 1 and 2, under records/. Nothing is written there any more."""
        folder = self.readable
        if self.overrides:
            folder += "-" + hashlib.sha256(self.variant.encode()).hexdigest()[:8]
        return self.group / folder

    def may_lie_in(self, folder: Path) -> bool:
        """Whether a record of this run may be in this folder under records/. Its digits may differ, as they depend on the release."""
        if folder.parent != self.group:
            return False
        ending = folder.name.removeprefix(self.readable)
        return folder == self.old_folder or (ending != folder.name and re.fullmatch(f"-[0-9a-f]{{{DIGITS}}}", ending) is not None)


def run_name(variant: str, seed: int, recipe: str = "") -> str:
    """`VARIANT seed N`, or `VARIANT seed N, recipe R`."""
    return f"{variant} seed {seed}" + (f", recipe {recipe}" if recipe else "")


def same_config(mine: dict[str, Any], my_defaults: tuple[str, ...], theirs: dict[str, Any], their_defaults: tuple[str, ...]) -> bool:
    """Whether both configs are equal in their common fields, and fields that only one of them has are at their defaults."""
    common = mine.keys() & theirs.keys()
    return all(same_value(mine[key], theirs[key]) for key in common) and all(
        key in defaults for config, defaults in ((mine, my_defaults), (theirs, their_defaults)) for key in config.keys() - common
    )


def same_value(mine: object, theirs: object) -> bool:
    """Whether two values of a config are equal. An augmentation may lack a field that was added later, as those of protocols may."""
    if mine == theirs or not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return mine == theirs
    try:
        return Augment.model_validate(mine) == Augment.model_validate(theirs)
    except ValidationError:  # some other model
        return False
