"""From a command line to the list of runs: variants, effective parameters, identities. Nothing is trained here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from benchmarks import SUITE_VERSION
from benchmarks.base_session import BASES
from benchmarks.errors import UsageError
from benchmarks.records import Identity
from methods.registry import MethodError, load_method, method_names, parse_variant, read_entry
from protocols.loading import explain, nearest, unknown
from protocols.schema import Protocol, Recipe


@dataclass(frozen=True)
class Request:
    """What the user asked for, checked for spelling but not yet for sense."""

    protocol: Protocol
    recipe: str
    split: str
    seeds: tuple[int, ...]
    variants: tuple[tuple[str, str], ...]
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def settings(self) -> Recipe:
        return self.protocol.recipes[self.recipe]


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-9`, `3`, `0,2,5-7` to seeds, ascending and once each. Raises UsageError."""
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not all(re.fullmatch("[0-9]{1,6}", number) for number in ([first, last] if dash else [first])):
            raise UsageError(f"seeds {text[:60]!r}: write them like 0-9 or 0,2,5-7")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise UsageError(f"seeds {text!r}: {part.strip()} runs backwards")
        if len(span) > 1000:
            raise UsageError(f"seeds {text!r}: more than 1000 in one range")
        seeds.update(span)
    return tuple(sorted(seeds))


def parse_methods(text: str | None, protocol: Protocol) -> tuple[tuple[str, str], ...]:
    """`lecnet,icarl:original` to (method, preset) pairs; None is the protocol's list, or every method that it does not leave out."""
    for name in protocol.without:
        read_entry(name)
    everybody = [name for name in method_names() if name not in protocol.without]
    names = text.split(",") if text is not None else list(protocol.methods or everybody)
    variants = []
    for name in names:
        entry, preset = parse_variant(name)
        if (entry.name, preset) not in variants:
            variants.append((entry.name, preset))
    return tuple(variants)


def parse_overrides(texts: Sequence[str], variants: Sequence[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """`lecnet.gamma=0.6` and `lecnet:code.gamma=0.6` to {method or method:preset: {field: value}}. Raises UsageError."""
    known = [name for name, _ in variants] + [f"{name}:{preset}" for name, preset in variants]
    result: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        target, dot, key = left.rpartition(".")
        if not (equals and dot and target and key):
            raise UsageError(f"--set {text!r}: write METHOD.FIELD=VALUE, such as lecnet.gamma=0.6")
        if target not in known:
            raise UsageError(f"--set {text!r}: {target!r} is not among the methods to run.{nearest(target, known)}")
        try:
            result.setdefault(target, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {text!r}: {value!r} is not a value") from None
    return result


def make_request(
    protocol: Protocol, recipe: str | None, split: str | None, seeds: str | None, methods: str | None, overrides: Sequence[str]
) -> Request:
    """Check names against what there is. Raises UsageError or MethodError with the nearest right name."""
    recipe = protocol.recipe if recipe is None else recipe
    if recipe not in protocol.recipes:
        raise UsageError(f"{protocol.name}: {unknown('recipe', recipe, list(protocol.recipes))}")
    split = protocol.splits[0] if split is None else split
    if split not in protocol.splits:
        raise UsageError(f"{protocol.name}: {unknown('split', split, list(protocol.splits))}")
    variants = parse_methods(methods, protocol)
    return Request(
        protocol, recipe, split, parse_seeds(protocol.seeds if seeds is None else seeds), variants, parse_overrides(overrides, variants)
    )


def identities(request: Request) -> list[Identity]:
    """One identity a run, seed by seed. Imports the methods. Raises UsageError or MethodError."""
    protocol, recipe = request.protocol, request.settings
    for name in recipe.methods:
        try:
            parse_variant(name)
        except MethodError as error:
            raise UsageError(f"{protocol.name}, recipe {request.recipe}, methods.{name}: {error}") from None
    for name in recipe.bases:
        if name not in BASES:
            raise UsageError(f"{protocol.name}, recipe {request.recipe}, bases: {unknown('base model', name, list(BASES))}")
    of_first_seed = []
    for method, preset in request.variants:
        overrides = {**request.overrides.get(method, {}), **request.overrides.get(f"{method}:{preset}", {})}
        of_first_seed.append(make_identity(request, method, preset, overrides, request.seeds[0]))
    return [identity.model_copy(update={"seed": seed}) for seed in request.seeds for identity in of_first_seed]


def make_identity(request: Request, method: str, preset: str, overrides: dict[str, Any], seed: int) -> Identity:
    """Effective parameters are the class's defaults, then the preset's, the recipe's, and the command line's."""
    protocol, recipe = request.protocol, request.settings
    cls = load_method(method)
    layers = [
        (f"preset {preset}", cls.presets[preset]),
        (f"recipe {request.recipe}", {**recipe.methods.get(method, {}), **recipe.methods.get(f"{method}:{preset}", {})}),
        ("--set", overrides),
    ]
    values: dict[str, Any] = {}
    for where, layer in layers:
        values.update(layer)
        try:
            config = cls.Config.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"{method}:{preset}, {where}: {explain(error, cls.Config)}") from None
    effective = config.effective()
    base = cls.bases.get(preset, "linear")
    if base not in BASES:
        raise MethodError(f"methods/{method}.py: {unknown('base model', base, list(BASES))}")
    return Identity(
        suite=SUITE_VERSION,
        protocol=protocol.name,
        data=protocol.data.model_dump(mode="json"),
        augment=protocol.augment.model_dump(mode="json"),
        sessions=protocol.sessions,
        backbone=protocol.backbone.model_dump(mode="json"),
        recipe=request.recipe,
        recipe_settings=recipe.model_dump(mode="json", exclude={"bases", "methods"}),
        split=request.split,
        method=method,
        preset=preset,
        overrides={key: value for key, value in config.model_dump(mode="json").items() if key in overrides},
        config=effective,
        version=cls.version,
        base=base,
        base_settings={key: recipe.for_base(base).model_dump(mode="json")[key] for key in recipe.bases.get(base, {})},
        seed=seed,
    )
