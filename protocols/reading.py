"""Reads YAML as plain data with PyYAML's safe loader and limits against faulty or hostile files. Nothing that a file names is run."""

from __future__ import annotations

import re
import reprlib
import stat
import unicodedata
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from protocols.unchanged import kept_unchanged

MOST_BYTES = 2**20
MOST_ALIASES = 100
MOST_KEYS = 1000


class InputError(ValueError):
    """An error in what the user wrote, which the user can fix. The message is one line."""


class ProtocolError(InputError):
    """A protocol is missing or invalid. The message is one line for the user."""


class Short(reprlib.Repr):
    """`repr` of anything in a few characters and without a line break, however large or nested."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # beyond Python's limit for printing integers
            return f"a whole number of {x.bit_length()} bits"


short = Short().repr


def plain(text: str) -> str:
    """The text with unprintable characters escaped, such as line breaks and terminal codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def odd_space(text: str) -> str:
    """Says which character looks like a plain space or like nothing and is neither, and what to write; empty if there is none."""
    for place, c in enumerate(text, start=1):
        if (kind := unicodedata.category(c)) in ("Zs", "Cf") and c != " ":
            mend = "write a plain space" if kind == "Zs" else "remove it"
            return f"character {place} is {unicodedata.name(c, 'invisible')} (U+{ord(c):04X}); {mend}"
    return ""


class Reader(yaml.SafeLoader):
    """PyYAML's safe loader, but a duplicate key is an error (PyYAML would silently take the last one), and so are text with a space that
    is none and a file that expands too much by aliases or merged mappings."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise fault(f"more than {MOST_ALIASES} aliases", self.peek_event())
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise fault(f"key {short(key.value)} stands twice", key)
                seen.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:  # mappings that merge mappings grow exponentially
            raise fault(f"more than {MOST_KEYS} keys", node)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        text = super().construct_scalar(node)
        if isinstance(text, str) and (odd := odd_space(text)):
            raise fault(f"{short(text)}: {odd}", node)
        return text

    def construct_scalar_as_typed(self, node: yaml.ScalarNode) -> Any:
        """A number, a truth value or a date, refused where YAML 1.1 reads another value than people mean."""
        kind, text = node.tag.rpartition(":")[2], node.value
        if kind in ("int", "float") and (reading := surprising_number(text)):
            raise fault(f"{short(text)} is {reading}, or put it in quotes", node)
        if kind == "bool" and text.lower() not in ("true", "false"):
            raise fault(f"{short(text)} would be read as true or false; write that, or put it in quotes", node)
        if kind == "timestamp":
            raise fault(f"{short(text)} would be read as a date; put it in quotes", node)
        return READERS[kind](self, node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # raised by PyYAML for `!!int ""` or 2024-13-45
            raise fault(f"not a value: {short(node.value)}", node) from None


READERS = {
    "int": yaml.SafeLoader.construct_yaml_int,
    "float": yaml.SafeLoader.construct_yaml_float,
    "bool": yaml.SafeLoader.construct_yaml_bool,
    "timestamp": yaml.SafeLoader.construct_yaml_timestamp,
}
# JSON's 1e-05, which YAML 1.1 takes for text. Without a sign, a hash of digits and one e would be a number.
Reader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+[eE][-+]\d+$"), list("-+0123456789"))
for _kind in READERS:
    Reader.add_constructor(f"tag:yaml.org,2002:{_kind}", Reader.construct_scalar_as_typed)


def surprising_number(text: str) -> str:
    """What YAML 1.1 takes a number for that people read otherwise, and what to write; empty for plain decimal numbers."""
    digits = text.lstrip("+-").lower()
    if ":" in digits:
        return "a number to the base 60; write it in decimal digits"
    if digits.startswith(("0x", "0b")):
        return "a number to another base; write it in decimal digits"
    if "_" in digits:
        return f"a number with _ in it; write {digits.replace('_', '')}"
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        plainly = digits.lstrip("0") or "0"
        return f"{'an octal number' if digits.isdigit() else 'a number that begins with 0'}; write {plainly}"
    return ""


def fault(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, at.start_mark)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds. Raises ValueError with a one-line message: `line 3: why`, or `why`."""
    try:
        return yaml.load(text, Loader=Reader)  # derives from SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}: " if where else ""
        problem = getattr(error, "problem", None) or (str(error).splitlines() or [""])[0]
        odd = ""
        if not isinstance(error, yaml.constructor.ConstructorError):  # that one is about values that could be read
            odd = next((f"; line {number}: {odd}" for number, own in enumerate(text.splitlines(), 1) if (odd := odd_space(own))), "")
        raise ValueError(f"{line}not valid YAML ({plain(problem)[:200]}){odd}") from None


def read_yaml(path: Path) -> Any:
    """The value that a YAML file holds. Raises ProtocolError."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ProtocolError(f"{path}: cannot be read (not a file)")
        if facts.st_size > MOST_BYTES:
            raise ProtocolError(f"{path}: has {facts.st_size:,} bytes; a protocol has at most {MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ProtocolError(f"{path}: no such file") from None
    except OSError as error:
        raise ProtocolError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{path}: cannot be read (not UTF-8 text: {error.reason} at byte {error.start})") from None
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ProtocolError(f"{path}: {error}") from None


def names_in(folder: Path) -> list[str]:
    """Names of the YAML files in a folder, without their ending. Hidden ones are an editor's."""
    return sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith("."))


kept_yaml = kept_unchanged(read_yaml)
"""Every page asks for all studies of the suite."""


def content_of_shipped(path: Path) -> Any:
    """What a YAML file of the suite holds, read once as long as the file stays as it is; the value is the caller's own. Raises
    ProtocolError."""
    try:
        return deepcopy(kept_yaml(path))
    except OSError:  # not even its state can be read
        return read_yaml(path)
