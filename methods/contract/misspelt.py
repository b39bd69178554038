"""Finds what a method's class defines under nearly the name of a hook or of an attribute: nothing would call or read it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from operator import ne

from methods.contract.feature_method import FeatureMethod
from methods.contract.hooks import Hooks
from methods.contract.strategy import SessionStrategy

HELPERS = ("measured", "embed_indices")
KNOWN = (
    *(name for name, value in vars(Hooks).items() if not name.startswith("_") and not isinstance(value, property) and name not in HELPERS),
    *("title", "needs", "course", "parameter_groups", "set_modes"),
)
"""Hooks and attributes that every method may define."""
WORD_IS_NEAR = 0.8
"""Likeness of each word of a name; `session_rows` is a name of its own, `sesion_loss` is none."""
SHORT = 4
"""Letters of a name that is no longer near with one wrong letter."""


def misspelt(method: type[SessionStrategy]) -> Iterator[tuple[str, str]]:
    """Names that a class and those of its file define, each with the name that was meant."""
    own = [cls for cls in method.__mro__ if cls.__module__ == method.__module__]
    known = {name for cls in method.__mro__ if cls not in own for name in dir(cls)} | {*KNOWN}
    hooks = (*KNOWN, "learn") if issubclass(method, FeatureMethod) else KNOWN
    for name in dict.fromkeys(name for cls in own for name in vars(cls)):
        if not name.startswith("_") and name not in known and (meant := near(name, hooks)) is not None:
            yield name, meant


def inner(method: type[SessionStrategy]) -> list[str]:
    """Names of the strategy's inner parts, which are no hooks, that a class and those of its file define."""
    own = {name for cls in method.__mro__ if cls.__module__ == method.__module__ for name in vars(cls)}
    return [name for name in vars(SessionStrategy) if name in own and not name.startswith("_") and name not in KNOWN]


def near(name: str, hooks: Sequence[str]) -> str | None:
    """The hook or attribute whose name differs from this one in a few letters of a word, or in case and underscores alone."""
    words = name.lower().split("_")
    for known in hooks:
        theirs = known.lower().split("_")
        alike = len(words) == len(theirs) and all(map(near_word, words, theirs))
        if alike or "".join(words) == "".join(theirs):
            return known
    return None


def near_word(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= WORD_IS_NEAR


def slip(name: str, hooks: Sequence[str]) -> str | None:
    """The hook of four letters of which this name has another one, which `near` lets pass: `drow` for `draw`."""
    return next((known for known in hooks if len(name) == len(known) == SHORT and sum(map(ne, name, known)) == 1), None)
