"""What makes a run this run and no other, and where its record lies.

Two runs are the same if all their values are the same. A field that one of them lacks came later: it has then the value of its
default, so that a new field with a default changes no run (for the protocol's models pydantic fills it in; for a method's `config`
the newer side says which of its values are defaults). A default that changes is a new version, with a migration (migrations.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from protocols.fields import Strict
from protocols.schema import Augment, Backbone, BaseRecipe, Data, Sessions

DIGITS = 8
"""Hexadecimal digits at the end of a folder's name."""
MOST_LETTERS = 80
"""Of a variant in a folder's name; the digits behind it tell apart what this cuts off."""
NO_SETTINGS = ("seed", "config", "defaults", "images", "precision")
"""Fields that `same_as` does not compare as they stand."""


class Identity(Strict):
    """What makes a run this run and no other. Two records of one identity must agree (same environment: byte for byte).

    `images` (SHA-256) and `precision` (fp32 or bf16, as computed in) are None while a run is asked for and either will do.
    `defaults` names the fields of `config` that had the default of the method's `version`; empty in records of schema 1 and 2.
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
    seed: int
    images: str | None = None
    precision: str | None = None

    @property
    def base_recipe(self) -> BaseRecipe:
        """How the base model of this run is trained."""
        if not self.base_settings:
            return self.recipe_settings
        return BaseRecipe.model_validate({**self.recipe_settings.model_dump(), **self.base_settings})

    @property
    def variant(self) -> str:
        """`lecnet:paper`, or `lecnet:paper[gamma=0.6]` where the command line changed something."""
        changes = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(self.overrides.items()))
        return f"{self.method}:{self.preset}" + (f"[{changes}]" if changes else "")

    def same_as(self, other: Identity) -> bool:
        """Whether both are one run. Images or precision that one of them leaves open are those of the other."""
        if self.seed != other.seed or not self.same_settings(other):
            return False
        pairs = ((self.images, other.images), (self.precision, other.precision))
        return all(mine == theirs or None in (mine, theirs) for mine, theirs in pairs)

    def same_settings(self, other: Identity) -> bool:
        """The same in all but seed, images and precision."""
        mine, theirs = ({name: value for name, value in dict(identity).items() if name not in NO_SETTINGS} for identity in (self, other))
        return mine == theirs and same_config(self, other)

    @property
    def group(self) -> Path:
        """Folder of all runs of this protocol, recipe and split, under records/."""
        return Path(self.protocol) / f"{self.recipe}.{self.split}"

    @property
    def readable(self) -> str:
        """Beginning of the folder's name. Several variants may share it."""
        return re.sub(r"[^A-Za-z0-9=.,_-]+", "-", self.variant).strip("-")[:MOST_LETTERS]

    @property
    def digest(self) -> str:
        """A few digits of all that makes this run different but the seed. Defaults count: a default that changes is another run, even
        where nobody has raised the version. (A new field gives new runs other digits; older ones are found where they are.)"""
        values = self.model_dump(mode="json", exclude={"seed", "defaults"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:DIGITS]

    @property
    def stem(self) -> Path:
        """Path of a new record under records/, without suffix. ValueError while images or precision are open."""
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
        """Whether a record of this run may be in this folder below records/. The digits are of the release that wrote them."""
        if folder.parent != self.group:
            return False
        ending = folder.name.removeprefix(self.readable)
        return folder == self.old_folder or (ending != folder.name and re.fullmatch(f"-[0-9a-f]{{{DIGITS}}}", ending) is not None)


def same_config(one: Identity, other: Identity) -> bool:
    """Equal where both have a field; a field that only one of them has must be at its default there."""
    mine, theirs = one.config, other.config
    common = mine.keys() & theirs.keys()
    return all(mine[key] == theirs[key] for key in common) and all(
        key in identity.defaults for identity, config in ((one, mine), (other, theirs)) for key in config.keys() - common
    )
