"""Protocols with one thing wrong, made by program: every key and list item of a YAML file, each with every bad value."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

Place = tuple[str | int, ...]

LONG = "x" * 10_000
BAD_VALUES: dict[str, str] = {
    "null": "null",
    "words": "some words",
    "list": "[1]",
    "empty list": "[]",
    "nested list": "[" * 60 + "]" * 60,
    "mapping": "{a: 1}",
    "empty mapping": "{}",
    "true": "true",
    "fraction": "1.5",
    "number as text": "'3'",
    "zero": "0",
    "negative": "-1",
    "million": "1000000",
    "10**12": "1000000000000",
    "1e30": "1.0e+30",
    "-1e30": "-1.0e+30",
    "5000 digits": "9" * 5000,
    "5000 hexadecimal digits": "0x" + "f" * 5000,
    "nan": ".nan",
    "inf": ".inf",
    "empty": "''",
    "blank": "'  '",
    "10,000 letters": LONG,
    "date": "2024-01-01",
    "no date": "2024-13-45",
    "binary": "!!binary aGk=",
    "empty int": '!!int ""',
    "no bool": "!!bool x",
    "non-ASCII": "naïve-вид-鳥",
    "line break": r'"a\nb"',
    "escape": r'"a\e[31mb"',
    "NUL": r'"a\0b"',
    "right to left": r'"a\u202eb"',
    "half a letter": r'"a\ud800b"',
    "parent": "../x",
    "absolute": "/etc/passwd",
    "home": "'~'",
    "in and out": "a/../../b",
    "backslashes": r"'a\..\b'",
    "alias": "&a [*a]",
}
PLACEHOLDER = "@@@"


@dataclass(frozen=True)
class Case:
    """One file with one fault, written when it is asked for. `key` is what a message about it must name."""

    place: Place
    what: str
    write: Callable[[], str]

    @property
    def text(self) -> str:
        return self.write()

    @property
    def key(self) -> str:
        return str(next((part for part in reversed(self.place) if isinstance(part, str)), "0"))

    @property
    def id(self) -> str:
        return f"{'.'.join(map(str, self.place))} {self.what}"


def places(content: Any, here: Place = ()) -> Iterator[Place]:
    """Of every value below the top, nested ones and list items too."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*here, key)
        yield from places(value, (*here, key))


def parent_of(content: Any, place: Place) -> Any:
    for part in place[:-1]:
        content = content[part]
    return content


def faults(content: Any) -> Iterator[Case]:
    """Every place missing, with every bad value, and in mappings misspelt, beside a stranger, and twice."""
    for place in places(content):
        for what, text in BAD_VALUES.items():
            yield Case(place, what, partial(written, content, place, text))
        yield Case(place, "missing", partial(without, content, place))
        if isinstance(place[-1], str):
            yield from of_keys(content, place, place[-1])


def of_keys(content: Any, place: Place, key: str) -> Iterator[Case]:
    for what, name in (("stranger", "zzz"), ("misspelt", f"{key}x"), ("long key", LONG), ("strange key", "a\nb\0\u202e")):
        named = place[:-1] if what == "strange key" else (*place[:-1], name[:60])
        yield Case(named, what, partial(with_key, content, place, name, instead=what == "misspelt"))
    for what, name in (("number as key", "7"), ("list as key", "[1, 2]"), ("null as key", "null"), ("twice", json.dumps(key))):
        named = {"number as key": (*place[:-1], "7"), "null as key": (*place[:-1], "None")}.get(what, place)
        yield Case(named, what, partial(with_odd_key, content, place, name))


def without(content: Any, place: Place) -> str:
    changed = copy.deepcopy(content)
    del parent_of(changed, place)[place[-1]]
    return json.dumps(changed)


def with_key(content: Any, place: Place, name: str, *, instead: bool) -> str:
    """With another key beside that of the place, or in its stead."""
    changed = copy.deepcopy(content)
    mapping = parent_of(changed, place)
    mapping[name] = mapping.pop(place[-1]) if instead else 1
    return json.dumps(changed)


def with_odd_key(content: Any, place: Place, name: str) -> str:
    """With a key that JSON does not have beside that of the place."""
    changed = copy.deepcopy(content)
    parent_of(changed, place)[PLACEHOLDER] = 1
    return json.dumps(changed).replace(json.dumps(PLACEHOLDER), f"? {name}\n")


def written(content: Any, place: Place, text: str) -> str:
    """The content as YAML (JSON is YAML), with this text at the place."""
    changed = copy.deepcopy(content)
    parent_of(changed, place)[place[-1]] = PLACEHOLDER
    return json.dumps(changed).replace(json.dumps(PLACEHOLDER), f"{text} ")
