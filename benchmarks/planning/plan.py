"""Turns a command line into a list of runs: variants, effective parameters, identities. Nothing is trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import SUITE_VERSION
from benchmarks.planning.validation import check_protocol, effective, import_method
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from methods.contract.registry import MethodError, base_kind_names, load_base_kind, method_names, parse_variant, read_entry
from protocols import seeds as of_seeds
from protocols.loading import nearest, unknown
from protocols.reading import parse_yaml, short
from protocols.schema import Protocol, Recipe
from protocols.study import Study


@dataclass(frozen=True)
class Request:
    """What the user asked for. All names are checked, but not yet the values of methods' parameters."""

    protocol: Protocol
    recipe: str
    split: str
    seeds: tuple[int, ...]
    variants: tuple[tuple[str, str], ...]
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: tuple[dict[str, Any], ...] = ()
    """Parameters that a study changes, one mapping per variant."""

    @property
    def settings(self) -> Recipe:
        return self.protocol.recipes[self.recipe]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parses seeds such as `0-9`, `3` or `0,2,5-7`. Returns them in ascending order, without repeats. Raises UsageError."""
    try:
        return of_seeds.parse_seeds(text)
    except ValueError as error:
        raise UsageError(f"seeds {short(text)}: {error}") from None


def parse_methods(text: str | None, protocol: Protocol) -> tuple[tuple[str, str], ...]:
    """Parses `lecnet,icarl:original` into (method, preset) pairs. Raises UsageError or MethodError.

    None stands for the protocol's list of methods, or else for every method that its `without` does not name.
    """
    for name in protocol.without:
        try:
            read_entry(name)
        except MethodError as error:
            raise MethodError(f"{protocol.name}, without: {error}") from None
    everybody = [name for name in method_names() if name not in protocol.without]
    names = text.split(",") if text is not None else list(protocol.methods or everybody)
    variants = []
    for name in names:
        entry, preset = parse_variant(name)
        if (entry.name, preset) not in variants:
            variants.append((entry.name, preset))
    if not variants:
        raise UsageError(f"{protocol.name}, without: leaves no method to run; name some with --methods")
    return tuple(variants)


def parse_overrides(texts: Sequence[str], variants: Sequence[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Parses `lecnet.gamma=0.6` and `lecnet:code.gamma=0.6` into {method or method:preset: {field: value}}. Raises UsageError."""
    known = [name for name, _ in variants] + [f"{name}:{preset}" for name, preset in variants]
    result: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        target, dot, key = left.rpartition(".")
        if not (equals and dot and target and key):
            raise UsageError(f"--set {short(text)}: write METHOD.FIELD=VALUE, such as lecnet.gamma=0.6")
        if target not in known:
            raise UsageError(f"--set {short(text)}: {short(target)} is not among the methods to run.{nearest(target, known)}")
        result.setdefault(target, {})[key] = parse_value(value, f"--set {short(text)}")
    return result


def parse_value(text: str, where: str) -> Any:
    """Parses a YAML value such as 0.6, true, [50, 70] or null. Raises UsageError."""
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"{where}: {short(text)} is not a value: {error}") from None


def make_request(
    protocol: Protocol, recipe: str | None, split: str | None, seeds: str | None, methods: str | None, overrides: Sequence[str]
) -> Request:
    """Checks the protocol and all names. Raises UsageError or MethodError with the nearest known name."""
    check_protocol(protocol)
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


def study_request(protocol: Protocol, study: Study, recipe: str | None, split: str | None, seeds: str | None) -> Request:
    """Request for a study's variants on a protocol. Raises UsageError or MethodError with the name of a variant that does not fit."""
    request = make_request(protocol, recipe, split, study.seeds if seeds is None else seeds, "base_only", [])
    variants: list[tuple[str, str]] = []
    for variant in study.variants:
        where = f"study {study.name}, {short(variant.label)}"
        try:
            entry, preset = parse_variant(variant.method)
        except MethodError as error:
            raise UsageError(f"{where}: {error}") from None
        effective(protocol, request.recipe, entry.name, preset, variant.set, where)
        variants.append((entry.name, preset))
    return replace(request, variants=tuple(variants), changes=tuple(variant.set for variant in study.variants))


def identities(request: Request) -> list[Identity]:
    """One identity per run, ordered by seed. Imports the methods. Raises UsageError or MethodError."""
    changes = request.changes or ({},) * len(request.variants)
    of_first_seed = []
    for (method, preset), own in zip(request.variants, changes, strict=True):
        overrides = {**request.overrides.get(method, {}), **request.overrides.get(f"{method}:{preset}", {}), **own}
        of_first_seed.append(make_identity(request, method, preset, overrides, request.seeds[0]))
    return [identity.model_copy(update={"seed": seed}) for seed in request.seeds for identity in of_first_seed]


def make_identity(request: Request, method: str, preset: str, overrides: dict[str, Any], seed: int) -> Identity:
    """The identity of one run. Imports the method. Raises UsageError or MethodError."""
    protocol, recipe = request.protocol, request.settings
    cls = import_method(method)
    config = effective(protocol, request.recipe, method, preset, overrides)
    base = cls.bases.get(preset, "linear")
    if base not in (known := base_kind_names()):
        raise MethodError(f"methods/{method}.py: {unknown('base kind', base, known)}")
    return Identity(
        suite=SUITE_VERSION,
        protocol=protocol.name,
        data=protocol.data,
        augment=protocol.augment,
        sessions=protocol.sessions,
        backbone=protocol.backbone,
        recipe=request.recipe,
        recipe_settings=recipe.shared,
        split=request.split,
        method=method,
        preset=preset,
        overrides={key: value for key, value in config.model_dump(mode="json").items() if key in overrides},
        config=config.model_dump(mode="json"),
        defaults=config.at_default(),
        version=cls.version,
        base=base,
        base_version=load_base_kind(base).version,
        base_settings=recipe.for_base(base).model_dump(mode="json", include=set(recipe.bases.get(base, {}))),
        seed=seed,
        precision=None if recipe.precision == "auto" else recipe.precision,
    )
