"""Recipes that begin as another one: `like: paper` of their own protocol, or `like: cub200/paper` of a shipped one, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protocols.messages import nearest, short, unknown
from protocols.reading import content_of_shipped, names_in

FOLDER = Path(__file__).parent
BY_NAME = ("bases", "methods")
"""Keys of a recipe under which each entry is merged with the other recipe's of that name (null leaves it out); all others are replaced."""


def filled(recipes: Any) -> Any:
    """The recipes of a YAML file, each with the values of the one that it is like, and without `like`: a protocol that was read says all
    itself. Raises ValueError if that one is not there, or for a circle.

    What is not a mapping stays as it is, for the schema to refuse.
    """
    if not isinstance(recipes, dict):
        return recipes
    return {name: with_other(recipes, "", name, []) for name in recipes}


def with_other(recipes: dict[Any, Any], where: str, name: Any, chain: list[str]) -> Any:
    """Recipe `name` with the values of the one that it is like. `where` is '' or PROTOCOL/, whose `recipes` these are, and goes before
    its name in `chain`, by which it was come to."""
    if (known := f"{where}{name}") in chain:
        raise ValueError(f"{chain[0]}.like: it leads back to itself ({' -> '.join([*chain, known])})")
    own, chain = recipes[name], [*chain, known]
    if not isinstance(own, dict) or (other := own.get("like")) is None:
        return own
    if not isinstance(other, str):
        raise ValueError(f"{known}.like: must be the name of a recipe, or PROTOCOL/RECIPE of a shipped one (got {repr(other)[:60]})")
    protocol, slash, recipe = other.rpartition("/")
    if slash:
        recipes, where = of_shipped(protocol, chain[0]), f"{protocol}/"
    if recipe not in recipes:
        if recipe in (names := list(map(str, recipes))):  # 5 for '5': the schema says that a name is text
            return own
        raise ValueError(f"{chain[0]}.like: {unknown('recipe', recipe, names)}")
    base = with_other(recipes, where, recipe, chain)
    return merged(base, {key: value for key, value in own.items() if key != "like"}, known) if isinstance(base, dict) else own


def of_shipped(protocol: str, asked_by: str) -> dict[Any, Any]:
    """The recipes in the file of a shipped protocol."""
    if protocol not in (known := names_in(FOLDER)):
        raise ValueError(f"{asked_by}.like: {unknown('protocol', protocol, known)}")
    found: dict[Any, Any] = content_of_shipped(FOLDER / f"{protocol}.yaml")["recipes"]
    return found


def merged(base: dict[str, Any], own: dict[str, Any], where: str) -> dict[str, Any]:
    """`base` with the values of `own`. Raises ValueError, which begins with `where`, for a null that leaves nothing out."""
    found = {**base, **own}
    for key in BY_NAME:
        one, two = base.get(key, {}), own.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            if nothing := [str(name) for name, value in two.items() if value is None and name not in one]:
                said = f"null leaves out what the other recipe has, so it cannot leave out {short(nothing[0])}, which that one has not"
                raise ValueError(f"{where}.{key}: {said}.{nearest(nothing[0], list(map(str, one)))}")
            entries = {**one, **{name: both(one.get(name), value) for name, value in two.items()}}
            found[key] = {name: value for name, value in entries.items() if value is not None}
    return found


def both(one: Any, two: Any) -> Any:
    return {**one, **two} if isinstance(one, dict) and isinstance(two, dict) else two
