"""Recipes that begin as another one of their protocol: `like: paper`, and what differs."""

from __future__ import annotations

from typing import Any

from protocols.messages import unknown

BY_NAME = ("bases", "methods")
"""Keys of a recipe under which each entry is merged with the other recipe's of that name; all others are replaced."""


def filled(recipes: Any) -> Any:
    """The recipes of a YAML file, each with the values of the one that it is like. Raises ValueError if that is not there, or for a circle.

    What is not a mapping stays as it is, for the schema to refuse.
    """
    if not isinstance(recipes, dict):
        return recipes
    return {name: with_others(recipes, [name]) for name in recipes}


def with_others(recipes: dict[Any, Any], chain: list[Any]) -> Any:
    own = recipes[chain[-1]]
    if not isinstance(own, dict) or not isinstance(other := own.get("like"), str):
        return own
    if other not in recipes:
        raise ValueError(f"{chain[-1]}.like: {unknown('recipe', other, [str(name) for name in recipes])}")
    if other in chain:
        raise ValueError(f"{chain[-1]}.like: it leads back to itself ({' -> '.join(map(str, [*chain, other]))})")
    base = with_others(recipes, [*chain, other])
    return merged(base, own) if isinstance(base, dict) else own


def merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    found = {**base, **own}
    for key in BY_NAME:
        one, two = base.get(key), own.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            found[key] = {**one, **{name: both(one.get(name), value) for name, value in two.items()}}
    return found


def both(one: Any, two: Any) -> Any:
    return {**one, **two} if isinstance(one, dict) and isinstance(two, dict) else two
