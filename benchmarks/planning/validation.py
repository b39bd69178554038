"""Checks that what a protocol names exists and fits: methods and their parameters in every recipe, base kinds, backbone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import ValidationError

from benchmarks.data.weights import check_known
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from benchmarks.system.process_settings import ProcessSettings
from methods.contract import KindConfig, MethodConfig
from methods.contract.config import OwnConfig
from methods.contract.files import shown
from methods.contract.loading import kind_and_parents, load_base_kind, load_method
from methods.contract.registry import MethodError, base_kind_names, parse_variant
from methods.parts.backbones import BACKBONES, build_backbone
from protocols.messages import explain, first_line, unknown
from protocols.schema import Augment, Protocol

if TYPE_CHECKING:
    from methods.contract.strategy import SessionStrategy


def check_protocol(protocol: Protocol) -> None:
    """Raises UsageError or MethodError with the key to fix, even if the requested runs do not use it."""
    for name in protocol.methods or ():
        checked_variant(name, f"{protocol.name}, methods")
    for recipe, settings in protocol.recipes.items():
        where = f"{protocol.name}, recipe {recipe}"
        for name in settings.methods:
            method, preset, kind = checked_variant(name, f"{where}, methods.{name}")
            if kind is not None:
                raise UsageError(f"{where}, methods: {name} names a base kind; write {method}:{preset}, it holds on every base")
            effective(protocol, recipe, method, preset, {})
        for name in settings.bases:
            if name not in (known := base_kind_names()):
                raise UsageError(f"{where}, bases: {unknown('base kind', name, known)}")
            kind_config(protocol, recipe, {}, name, {})
            if (after := settings.parents.get(name, name)) not in known:
                raise UsageError(f"{where}, bases.{name}.after: {unknown('base kind', after, known)}")
            try:
                kind_and_parents(name, settings.parents)
            except MethodError as error:
                raise UsageError(f"{where}, {error}") from None
    check_backbone(protocol)


def checked_variant(name: str, where: str) -> tuple[str, str, str | None]:
    try:
        entry, preset, kind = parse_variant(name)
    except MethodError as error:
        raise UsageError(f"{where}: {error}") from None
    return entry.name, preset, kind


@cache
def try_backbone(name: str, channels: int, size: int) -> None:
    """Raises RuntimeError or ValueError if the suite's backbone cannot take images of this shape; tried once, if it can."""
    with torch.device("meta"):
        BACKBONES[name](channels).eval()(torch.zeros(1, channels, size, size))


def check_backbone(protocol: Protocol) -> None:
    """Raises UsageError if the backbone is unknown, cannot take the protocol's images, or has no such weights."""
    name, size, channels = protocol.backbone.name, protocol.data.size, protocol.data.channels
    if ":" not in name and name not in BACKBONES:
        raise UsageError(f"{protocol.name}: {unknown('backbone', name, sorted(BACKBONES))}")
    try:
        if ":" in name:
            build_backbone(name, channels, size=size, source=protocol.backbone.source)
        else:
            try_backbone(name, channels, size)
    except (RuntimeError, ValueError) as error:
        reason = first_line(error)
        if ":" in name:
            raise UsageError(f"{protocol.name}, backbone: {reason}") from None
        raise UsageError(
            f"{protocol.name}: backbone {name} cannot take images of data.size {size} with data.channels {channels} ({reason})"
        ) from None
    check_known(protocol.backbone)


def check_last_block(protocol: Protocol, runs: Sequence[Identity]) -> None:
    """Raises UsageError if a run trains the last block of a backbone that names none."""
    spec, data = protocol.backbone, protocol.data
    asking = [run for run in runs if "last_block" in (load_method(run.method).trains, *run.config.values())]
    if asking and ":" in spec.name:
        try:
            _ = build_backbone(spec.name, data.channels, size=data.size, source=spec.source).last_block
        except ValueError as error:
            raise UsageError(f"{protocol.name}, {asking[0].variant}: {error}") from None


def effective(protocol: Protocol, recipe: str, method: str, preset: str, overrides: dict[str, Any], said_by: str = "--set") -> MethodConfig:
    """A method's parameters: its class's defaults, changed by the preset, then by the recipe, then by `overrides`.

    Raises UsageError with the source of the wrong value; `said_by` names that of `overrides`.
    """
    cls, of_recipe = import_method(method), protocol.recipes[recipe].methods
    layers = [
        (f"preset {preset}", cls.presets[preset]),
        (f"{protocol.name}, recipe {recipe}", {**of_recipe.get(method, {}), **of_recipe.get(f"{method}:{preset}", {})}),
        (said_by, overrides),
    ]
    config = layered(cls.Config, f"{method}:{preset}", layers)
    check_augment(protocol, getattr(config, "augment", None), f"{method}:{preset}")
    return config


def kind_config(
    protocol: Protocol,
    recipe: str,
    stated: Mapping[str, Mapping[str, Any]],
    kind: str,
    overrides: Mapping[str, Any],
    said_by: str = "--set",
) -> KindConfig:
    """A base kind's settings: its class's defaults, changed by what a method states in `bases`, then by the recipe, then by `overrides`.

    Raises UsageError with the source of the wrong value.
    """
    layers = [
        ("the method's bases", stated.get(kind, {})),
        (f"{protocol.name}, recipe {recipe}, bases", protocol.recipes[recipe].of_kind(kind)),
        (said_by, overrides),
    ]
    config = layered(load_base_kind(kind).Config, f"base kind {kind}", layers)
    for _, value in config:
        if isinstance(value, Augment):
            check_augment(protocol, value, f"base kind {kind}")
    return config


def check_augment(protocol: Protocol, augment: Augment | None, whose: str) -> None:
    """Raises UsageError if the protocol's images cannot be augmented so."""
    if augment is not None:
        try:
            augment.check(protocol.data.size, protocol.data.channels)
        except ValueError as error:
            raise UsageError(f"{protocol.name}, {whose}: {error}") from None


C = TypeVar("C", bound=OwnConfig)


def layered(cls: type[C], whose: str, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> C:
    """A config of defaults that the layers change in order. Raises UsageError with the layer of the wrong value."""
    values: dict[str, Any] = {}
    config = cls()
    for where, layer in layers:
        values.update(layer)
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"{whose}, {where}: {explain(error, cls)}") from None
    return config


def import_method(name: str) -> type[SessionStrategy]:
    """The method's class. Raises MethodError if it cannot be imported, or if importing it changes settings of the whole process."""
    if f"methods.{name}" in sys.modules:
        return load_method(name)
    importlib.import_module("methods.contract.strategy")  # imports Avalanche, which may change what it likes
    settings = ProcessSettings()
    try:
        method = load_method(name)
    finally:
        changed = settings.put_back()
    if changed:
        raise MethodError(f"{shown('methods', name)}: importing it sets {changed[0]}; a method must leave it as it was")
    return method
