"""What must be true of a base kind's class before it is used: each mistake is answered in one line that names the file (loading.py)."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from methods.contract.base_kind import BaseKind
from methods.contract.checking import faults_of_fields, faults_of_hooks, faults_of_migrations, faults_of_values, whole
from methods.contract.config import KindConfig
from methods.contract.misspelt import near, slip
from methods.contract.registry import MethodError
from protocols.reading import short
from protocols.schema import Augment, BaseRecipe

HOOKS = tuple(name for name in vars(BaseKind) if not name.startswith("_") and name != "name")
"""What a kind may define."""
CALLED = tuple(name for name in HOOKS if callable(vars(BaseKind)[name]))


_sound: weakref.WeakSet[type[BaseKind]] = weakref.WeakSet()
"""Classes that were checked: planning asks for each of them many times."""


def check_kind(kind: type[BaseKind], file: str) -> type[BaseKind]:
    """The class, if it makes sense; raises MethodError if not."""
    if kind not in _sound:
        for fault in faults_of_kind(kind):
            raise MethodError(f"{file}: {fault}")
        _sound.add(kind)
    return kind


def faults_of_kind(kind: type[BaseKind]) -> Iterator[str]:
    """What is wrong with a class, the likeliest first."""
    own = kind.__name__
    for name in vars(kind):
        if name.startswith("_") or name in HOOKS:
            continue
        if (meant := near(name, HOOKS) or (slip(name, CALLED) if callable(vars(kind)[name]) else None)) is not None:
            yield f"{own}.{name} is no hook. Did you mean {meant!r}? A helper of your own gets another name, or one that begins with _"
    yield from faults_of_hooks(kind, own)
    for name in ("version", "views"):
        if not whole(getattr(kind, name), 1) and not isinstance(getattr(kind, name), property):
            yield f"{name} of {own} must be a whole number, at least 1 (got {short(getattr(kind, name))})"
    for name in ("knows_all_classes", "capturable", "changes_images"):
        value = getattr(kind, name)
        if not isinstance(value, bool) and not (isinstance(value, property) and name != "knows_all_classes"):  # asked of the class
            yield f"{name} of {own} must be one of False, True (got {short(value)})"
    for name in ("drop", "added"):
        value = getattr(kind, name)
        if not (isinstance(value, tuple) and all(isinstance(part, str) for part in value)):
            yield f"{name} of {own} must be a tuple of names of network.parts (got {short(value)})"
    if kind.parent is not None and not isinstance(kind.parent, str):
        yield f"parent of {own} must be the name of a base kind, or None (got {short(kind.parent)})"
    yield from faults_of_values(kind.bases, own)
    yield from faults_of_migrations(kind.migrations, own)
    yield from faults_of_config(kind.Config, own)


def faults_of_config(config: Any, own: str) -> Iterator[str]:
    if not (isinstance(config, type) and issubclass(config, KindConfig)):
        yield f"Config of {own} must be a class that derives from KindConfig (got {short(config)})"
        return
    if taken := sorted(set(config.model_fields) & {*BaseRecipe.model_fields, "after"}):
        yield f"{taken[0]} is a setting of every recipe; give the field of Config another name"
    yield from faults_of_fields(config, own)
    if not isinstance(shown := config.model_fields["augment"].get_default(call_default_factory=True), Augment | None):
        yield f"Config.augment of {own} must be an Augment (from protocols.schema) or None (got {short(shown)})"
