"""What must be true of a base kind's class before it is used: each mistake is answered in one line that names the file (loading.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from methods.contract.base_kind import BaseKind
from methods.contract.checking import SETS, holds_set, whole
from methods.contract.config import KindConfig
from methods.contract.misspelt import near
from protocols.messages import explain, first_line
from protocols.reading import short
from protocols.schema import Augment, BaseRecipe

HOOKS = tuple(name for name in vars(BaseKind) if not name.startswith("_") and name != "name")
"""What a kind may define."""


def faults_of_kind(kind: type[BaseKind]) -> Iterator[str]:
    """What is wrong with a class, the likeliest first."""
    own = kind.__name__
    for name in vars(kind):
        if not name.startswith("_") and name not in HOOKS and (meant := near(name, HOOKS)) is not None:
            yield f"{own}.{name} is no hook. Did you mean {meant!r}? A helper of your own gets another name, or one that begins with _"
    for name in ("version", "views"):
        if not whole(getattr(kind, name), 1) and not isinstance(getattr(kind, name), property):
            yield f"{name} of {own} must be a whole number, at least 1 (got {short(getattr(kind, name))})"
    yield from faults_of_config(kind.Config, own)


def faults_of_config(config: Any, own: str) -> Iterator[str]:
    if not (isinstance(config, type) and issubclass(config, KindConfig)):
        yield f"Config of {own} must be a class that derives from KindConfig (got {short(config)})"
        return
    if taken := sorted(set(config.model_fields) & {*BaseRecipe.model_fields, "after"}):
        yield f"{taken[0]} is a setting of every recipe; give the field of Config another name"
    for name, field in config.model_fields.items():
        if field.is_required():
            yield f"Config.{name} of {own} needs a default, as older base models will count as trained with it"
        if holds_set(field.annotation):
            yield f"Config.{name} of {own} {SETS}"
    try:
        made = config()
        made.model_dump(mode="json")
    except Exception as error:  # pydantic's own, or that of a validator
        why = explain(error, config) if isinstance(error, ValidationError) else first_line(error)
        yield f"Config of {own} cannot be made of its defaults and written to a record: {why}"
        return
    if not isinstance(made.augment, Augment | None):
        yield f"Config.augment of {own} must be an Augment (from protocols.schema) or None (got {short(made.augment)})"
