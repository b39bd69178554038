"""Whether a run's settings are those that files say now, and in words what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import SUITE_VERSION
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.records.schema import Record
from benchmarks.records.stated import stated_parent, stated_presets
from protocols.schema import Protocol, Recipe

NOTHING = "nothing"
MOST_NAMED = 6
"""Differences that a heading names."""
DESCRIBED = {"data", "augment", "sessions", "backbone"}
"""Parts of a protocol that an identity holds, beside the recipe."""


def shared_differences(protocol: Protocol, identity: Identity) -> list[str]:
    """Differences between a run's shared settings and the protocol's file; empty if they agree."""
    recipe = protocol.recipes.get(identity.recipe)
    found = [] if identity.suite == SUITE_VERSION else [f"version {identity.suite} of the suite instead of {SUITE_VERSION}"]
    then = identity.model_dump(mode="json", include=DESCRIBED)
    now = protocol.model_dump(mode="json", include=DESCRIBED)
    found += difference(flat(then), flat(now))
    settings = identity.recipe_settings.model_dump(mode="json", exclude_defaults=recipe is None)
    if recipe is None:
        values = ", ".join(f"{key} {value}" for key, value in settings.items())
        found.append(f"a recipe that the protocol no longer has ({values})")
    else:
        found += difference(flat({"recipe": settings}), flat({"recipe": recipe.shared.model_dump(mode="json")}))
    if identity.split not in protocol.splits:
        found.append("a split that the protocol no longer has")
    return found


def own_differences(protocol: Protocol, record: Record) -> list[str]:
    """Differences between a run's own settings and what the recipe, and the preset where it can be read, say of its method and base."""
    identity = record.identity
    recipe = protocol.recipes.get(identity.recipe)
    if recipe is None:
        return []
    wanted, config = of_recipe(recipe, identity), identity.config
    preset = (stated_presets(identity.method) or {}).get(identity.preset)
    if preset is not None:
        wanted = {**preset, **wanted}
    wanted = {key: value for key, value in wanted.items() if key not in identity.overrides}
    found = [f"{key} {config.get(key)} instead of {value}" for key, value in wanted.items() if not agrees(value, config.get(key))]
    if preset is not None and record.schema_version > 2:  # older records do not say which values were defaults
        said = {*wanted, *identity.overrides, *identity.defaults}
        found += [f"{key} {value} instead of the default" for key, value in config.items() if key not in said]
    for before, stage in zip((None, *identity.base_parents), identity.stages, strict=True):
        found += stage_differences(recipe, identity, before, stage)
    return found


def stage_differences(recipe: Recipe, identity: Identity, before: BaseStage | None, stage: BaseStage) -> list[str]:
    """Differences between one base session of a run and what the recipe says of its kind; `before` is the one that it goes on with."""
    name, was = stage.base, before.base if before is not None else None
    wanted = recipe.parents.get(name, stated_parent(name, unknown=was))
    found = [f"base {name} after {was or NOTHING} instead of {wanted or NOTHING}"] if wanted != was else []
    found += [
        f"{name}.{key} {stage.config[key]} instead of {value}"
        for key, value in recipe.of_kind(name).items()
        if key in stage.config and f"{name}.{key}" not in identity.overrides and not agrees(value, stage.config[key])
    ]
    then, now = (settings.model_dump(mode="json") for settings in (identity.recipe_of(stage), recipe.for_base(name)))
    shared, now_shared = (settings.model_dump(mode="json") for settings in (identity.recipe_settings, recipe.shared))
    own = {key for key in then if (then[key], now[key]) != (shared[key], now_shared[key])}
    whose = "base" if stage.base == identity.base else f"base {name}"
    return found + difference({f"{whose} {key}": then[key] for key in own}, {f"{whose} {key}": now[key] for key in own})


def of_recipe(recipe: Recipe, identity: Identity) -> dict[str, Any]:
    """What a recipe says of a run's method."""
    return {**recipe.methods.get(identity.method, {}), **recipe.methods.get(f"{identity.method}:{identity.preset}", {})}


def agrees(written: Any, recorded: Any) -> bool:
    """Whether a value as a file writes it is the value that a record has: 1 is 1.0, `1e-2` is .01, and true is not 1."""
    if isinstance(written, list | tuple) and isinstance(recorded, list | tuple):
        return len(written) == len(recorded) and all(map(agrees, written, recorded))
    if isinstance(written, bool) or isinstance(recorded, bool):
        return written is recorded
    if isinstance(written, str) and isinstance(recorded, int | float):
        try:
            return float(written) == recorded
        except ValueError:
            return False
    return bool(written == recorded)


def variant_values(identity: Identity) -> dict[str, Any]:
    """What may differ between two settings of one variant."""
    values = {"version": identity.version, "base": identity.base, "base version": identity.base_version}
    of_base = {**identity.base_settings, **identity.base_config}
    before = {stage.base: {"version": stage.version, **stage.settings, **stage.config} for stage in identity.base_parents}
    return {**values, **identity.config, **flat({"base": of_base}), **flat({"base after": before})}


def own_defaults(identity: Identity) -> set[str]:
    """Those keys of `variant_values` that had their defaults."""
    found = {*identity.defaults, *(f"base {key}" for key in identity.base_defaults)}
    return found | {f"base after {stage.base} {key}" for stage in identity.base_parents for key in stage.defaults}


def variant_differences(one: Identity, other: Identity) -> list[str]:
    """Differences between two settings of one variant. A field that an older record lacks, and that has its default in the newer one, is
    none."""
    mine, theirs = variant_values(one), variant_values(other)
    added = (own_defaults(one) - theirs.keys()) | (own_defaults(other) - mine.keys())
    return difference(*({key: value for key, value in values.items() if key not in added} for values in (mine, theirs)))


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as `recipe lr`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{before}{key} ") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Phrases such as `recipe lr 0.2 instead of 0.1`, one for each key whose values differ or that only one side has."""
    return [
        f"{key} {one.get(key, NOTHING)} instead of {other.get(key, NOTHING)}"
        for key in dict.fromkeys([*one, *other])
        if one.get(key, NOTHING) != other.get(key, NOTHING)
    ]


def named(differences: Sequence[str]) -> str:
    """The differences as one phrase; the last ones are only counted if there are many."""
    rest = len(differences) - MOST_NAMED
    return ", ".join(differences[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
