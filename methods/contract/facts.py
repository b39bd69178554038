"""What a method's source says of it without being run (registry.py): what is wrong with a title, presets or a group, '' if nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from protocols.class_facts import GROUP
from protocols.reading import odd_space, short

PRESET = "[A-Za-z0-9_.-]+"
"""Form of a preset's name, which --methods can write."""
LONGEST_TITLE = 100
MARKS = "†‡§*|<>"
"""What pages mark titles with, and what cuts a cell of a table."""


def title_fault(title: object) -> str:
    if not (isinstance(title, str) and title.strip() and title.isprintable()):
        odd = odd_space(title) if isinstance(title, str) else ""
        return f"must be one line of printable text{odd and f' ({odd})'}"
    if len(title) > LONGEST_TITLE:
        return f"must have at most {LONGEST_TITLE} letters"
    marks = [letter for letter in title if letter in MARKS]
    return f"must not have {marks[0]}, which means something in tables" if marks else ""


def presets_fault(presets: object) -> str:
    if not isinstance(presets, dict) or not presets:
        return "must be a literal dictionary with at least one entry"
    for name, values in presets.items():
        if not (isinstance(name, str) and re.fullmatch(PRESET, name)):
            return f"must have names of letters, digits, _, . and -, so that --methods can name them (got {short(name)})"
        if not (isinstance(values, dict) and all(isinstance(field, str) for field in values)):
            return f"must map each name to a mapping of fields of Config (got {short(name)}: {short(values)})"
    return ""


def group_fault(group: object) -> str:
    if not isinstance(group, str) or (group and not re.fullmatch(GROUP, group)):
        return "must be a literal of a-z, 0-9 and _, at most 64 letters"
    return ""


FAULTS: dict[str, Callable[[object], str]] = {"title": title_fault, "presets": presets_fault, "group": group_fault}
"""By attribute of the class. A literal that is None was computed, and is known once the file has run."""
