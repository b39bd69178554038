"""Messages to the user about names and values: one line each, in the terms of YAML files."""

from __future__ import annotations

import difflib

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocols.reading import plain, short

MOST_NAMED = 80  # characters of a name that a message repeats

SAID = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "invalid_key": "must be text; put the key in quotes",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_attributes_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_too_long": "must have at most {max_length} letters",
    "string_too_short": "must not be empty",
    "string_type": "must be text; put it in quotes",
    "string_unicode": "must be text",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} item",
    "tuple_type": "must be a list",
}
"""Messages for pydantic's types of errors, in the terms of YAML files. Other types keep pydantic's message."""


def nearest(name: str, known: list[str]) -> str:
    """' Did you mean X?' if a known name is similar, else ''."""
    lowered = {one.lower(): one for one in known}
    match = difflib.get_close_matches(name[:MOST_NAMED].lower(), lowered, n=1)
    return f" Did you mean {lowered[match[0]]!r}?" if match else ""


def first_line(error: BaseException) -> str:
    """First line of an error's text that is not blank, '' if it has none. Messages to the user have one line."""
    try:
        text = str(error)
    except Exception:  # a method's own class of error, whose text needs what is not there
        return "its text cannot be had"
    return next((line for line in text.splitlines() if line.strip()), "")


def unknown(what: str, name: str, known: list[str]) -> str:
    """Message such as `no recipe named 'quik'. Did you mean 'quick'? There are: paper, quick.`"""
    return f"no {what} named {short(name)}.{nearest(name, known)} There are: {', '.join(known)}."


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first fault of a pydantic error on one line: the key, what is wrong, the nearest known key."""
    faults = error.errors(include_url=False)
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    key = where(fault)
    if fault["type"] == "extra_forbidden":
        known = known_keys(model, fault["loc"][:-1]) if model else []
        return f"unknown key '{key}'.{nearest(str(fault['loc'][-1]), known)}"
    of_all = fault["type"] == "value_error" and isinstance(fault["input"], dict)
    whole = of_all or fault["type"] == "missing"  # the input is all that surrounds the key
    got = "" if whole else f" (got {short(fault['input'])})"
    return f"{key}: {said(fault)}{got}" if key else said(fault)


def where(fault: ErrorDetails) -> str:
    """Path of the faulty key, such as `recipes.paper.lr`. Long keys are cut."""
    return ".".join(plain(str(part))[:MOST_NAMED] for part in fault["loc"] if part != "[key]")


def said(fault: ErrorDetails) -> str:
    """Message that says what is wrong with the value."""
    template = SAID.get(fault["type"])
    return template.format(**fault.get("ctx", {})) if template else plain(fault["msg"].removeprefix("Value error, "))


def known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the part of `model` that `path` leads to, as far as it can be followed."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a dictionary's key: the current field describes its values
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        inner = [t for t in inner if issubclass(t, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
