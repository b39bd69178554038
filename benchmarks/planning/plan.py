"""Turns a command line into a list of runs: variants, effective parameters, identities. Nothing is trained here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from benchmarks import SUITE_VERSION
from benchmarks.planning.on_features import refuse_without_images
from benchmarks.planning.validation import check_protocol, effective, import_method, kind_config
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.system.errors import UsageError
from methods.contract import SessionStrategy
from methods.contract.files import shown
from methods.contract.loading import kind_and_parents, load_base_kind, load_method
from methods.contract.registry import MethodError, base_kind_names, method_names, parse_variant, read_entry
from protocols import seeds as of_seeds
from protocols.class_facts import GROUP
from protocols.loading import for_full_data
from protocols.messages import nearest, unknown
from protocols.reading import parse_yaml, short
from protocols.schema import Protocol, Recipe

Variant = tuple[str, str, str | None]
"""Method, preset, and the base kind named with @KIND (None: the method's own)."""


@dataclass(frozen=True)
class Request:
    """What the user asked for. All names are checked, but not yet the values of methods' parameters."""

    protocol: Protocol
    recipe: str
    split: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
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


def parse_methods(text: str | None, protocol: Protocol) -> tuple[Variant, ...]:
    """Parses `lecnet,icarl:original,proto@cosine`. Raises UsageError or MethodError.

    None stands for the protocol's list of methods, or else for every method of no group that its `without` does not name; where sessions
    have few shots, methods for full data are left out, too. The name of a group stands for all its methods.
    """
    for name in protocol.without:
        try:
            read_entry(name)
        except MethodError as error:
            raise MethodError(f"{protocol.name}, without: {error}") from None
    named = list(protocol.methods or ()) if text is None else text.split(",")
    without = {*protocol.without, *(() if protocol.sessions.shots == "all" else for_full_data())} if not named else ()
    if text is not None and not all(name.strip() for name in named):
        raise UsageError(f"--methods {short(text)}: a name is empty; write them with one comma between two")
    names = named or [name for name in of_group("", protocol.data.texts) if name not in without]
    variants = []
    for name in chain.from_iterable((name.strip() and of_group(name.strip(), protocol.data.texts)) or [name] for name in names):
        entry, preset, kind = parse_variant(name)
        if (entry.name, preset, kind) not in variants:
            variants.append((entry.name, preset, kind))
    if not variants:
        raise UsageError(f"{protocol.name}, without: leaves no method to run; name some with --methods")
    return tuple(variants)


def of_group(name: str, texts: bool = False) -> list[str]:
    """The methods of this group, '' for none, that need no text vectors unless `texts`; empty if no group, or a method, has this name."""
    known = method_names()
    if name in known or (name and not re.fullmatch(GROUP, name)):
        return []
    return [method for method in known if (one := read_entry(method)).group == name and (texts or one.needs != "texts")]


def parse_overrides(texts: Sequence[str], variants: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """Parses `lecnet.gamma=0.6`, `lecnet:code.gamma=0.6` and `cosine.scale=8`, which may be written `@cosine.scale=8`, into
    {method, method:preset or @kind: {field: value}}. Raises UsageError."""
    known = [name for name, *_ in variants] + [f"{name}:{preset}" for name, preset, _ in variants]
    kinds = base_kind_names()
    result: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        target, dot, key = left.rpartition(".")
        if not (equals and dot and target and key):
            raise UsageError(f"--set {short(text)}: write METHOD.FIELD=VALUE, such as lecnet.gamma=0.6")
        if target not in known and target.removeprefix("@") in kinds:
            target = f"@{target.removeprefix('@')}"
        elif target not in known:
            raise UsageError(f"--set {short(text)}: {not_to_run(target, key, known, kinds)}")
        if key in result.setdefault(target, {}):
            raise UsageError(f"--set {short(text)}: {short(left)} is set twice")
        result[target][key] = parse_value(value, f"--set {short(text)}")
    return result


def not_to_run(target: str, key: str, known: list[str], kinds: list[str]) -> str:
    """What to say of the target of --set that is neither a method to run nor a base kind."""
    first, dot, field = target.partition(".")
    if dot and (first in known or first.removeprefix("@") in kinds):
        return f"{short(key)} is within {short(field)}, which is set as a whole: --set '{target}={{{key}: ...}}'"
    method, _, preset = target.partition(":")
    if method in method_names() and (not preset or preset in read_entry(method).presets):
        return f"{short(target)} is not among the methods to run; add it to --methods"
    return f"{short(target)} is neither a method to run nor a base kind.{nearest(target, known + kinds)}"


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
    split = protocol.splits[0] if split is None else split
    check_named(protocol, recipe, split)
    variants = parse_methods(methods, protocol)
    return Request(
        protocol, recipe, split, parse_seeds(protocol.seeds if seeds is None else seeds), variants, parse_overrides(overrides, variants)
    )


def check_named(protocol: Protocol, recipe: str | None, split: str | None) -> None:
    """Raises UsageError with the nearest name for a recipe or a split that the protocol has not; None is any."""
    if recipe is not None and recipe not in protocol.recipes:
        raise UsageError(f"{protocol.name}: {unknown('recipe', recipe, list(protocol.recipes))}")
    if split is not None and split not in protocol.splits:
        raise UsageError(f"{protocol.name}: {unknown('split', split, list(protocol.splits))}")


def identities(request: Request) -> list[Identity]:
    """One identity per run, ordered by seed. Imports the methods. Raises UsageError or MethodError."""
    changes = request.changes or ({},) * len(request.variants)
    of_first_seed: list[Identity] = []
    for (method, preset, kind), own in zip(request.variants, changes, strict=True):
        overrides = {**request.overrides.get(method, {}), **request.overrides.get(f"{method}:{preset}", {}), **own}
        stands_on = kind_and_parents(kind or load_method(method).own_base(preset), request.settings.parents)
        for name in stands_on:
            overrides |= {f"{name}.{key}": value for key, value in request.overrides.get(f"@{name}", {}).items()}
        identity = make_identity(request, method, preset, overrides, request.seeds[0], kind)
        if request.changes or not any(identity.same_as(other) for other in of_first_seed):  # proto@linear beside proto
            of_first_seed.append(identity)
    stood_on = {stage.base for identity in of_first_seed for stage in identity.stages}
    for target in request.overrides:
        if target.startswith("@") and target[1:] not in stood_on:
            raise UsageError(f"--set {target[1:]}: none of the methods to run stands on base kind {target[1:]}; name one as METHOD{target}")
    refuse_without_images(request.protocol, of_first_seed)
    return [identity.model_copy(update={"seed": seed}) for seed in request.seeds for identity in of_first_seed]


def parted(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Changes of a method's own parameters, and those of base kinds (keys such as `cosine.scale`), by kind."""
    own = {key: value for key, value in overrides.items() if "." not in key}
    of_kinds: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        if "." in key:
            kind, _, name = key.partition(".")
            of_kinds.setdefault(kind.removeprefix("@"), {})[name] = value
    return own, of_kinds


def make_identity(request: Request, method: str, preset: str, overrides: dict[str, Any], seed: int, kind: str | None = None) -> Identity:
    """The identity of one run. Imports the method. Raises UsageError or MethodError."""
    protocol, recipe = request.protocol, request.settings
    cls = import_method(method)
    own, of_kinds = parted(overrides)
    config = effective(protocol, request.recipe, method, preset, own)
    base = cls.own_base(preset)
    if base not in (known := base_kind_names()):
        raise MethodError(f"{shown('methods', method)}: {unknown('base kind', base, known)}")
    *parents, stage = stages(protocol, request.recipe, cls, kind or base, of_kinds)
    changed = {f"{one.base}.{key}": one.config[key] for one in (*parents, stage) for key in of_kinds.get(one.base, {})}
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
        overrides={**{key: value for key, value in config.model_dump(mode="json").items() if key in own}, **changed},
        config=config.model_dump(mode="json"),
        defaults=config.at_default(),
        version=cls.version,
        base=stage.base,
        base_version=stage.version,
        base_settings=stage.settings,
        base_config=stage.config,
        base_defaults=stage.defaults,
        base_parents=tuple(parents),
        asked_base=kind if kind != base else None,
        seed=seed,
        precision=None if recipe.precision == "auto" else recipe.precision,
    )


def stages(
    protocol: Protocol,
    recipe: str,
    cls: type[SessionStrategy],
    base: str,
    overrides: Mapping[str, Mapping[str, Any]],
    said_by: str = "--set",
) -> list[BaseStage]:
    """The base sessions that a method stands on, in order; the last is that of `base`. Raises UsageError or MethodError."""
    of_recipe, found = protocol.recipes[recipe], []
    lineage = kind_and_parents(base, of_recipe.parents)
    if strangers := sorted(set(overrides) - set(lineage)):
        raise UsageError(f"{said_by}: {short(strangers[0])} is not the base kind of the run, {base}")
    stated: Mapping[str, Mapping[str, Any]] = cls.bases
    for name in lineage:
        kind = load_base_kind(name)
        config = kind_config(protocol, recipe, stated, name, overrides.get(name, {}), said_by)
        settings = of_recipe.for_base(name).model_dump(mode="json", include=set(of_recipe.changes(name)))
        stage = BaseStage(
            base=name, version=kind.version, settings=settings, config=config.model_dump(mode="json"), defaults=config.at_default()
        )
        found.append(stage)
        stated = {**kind.bases, **stated}
    return found[::-1]
