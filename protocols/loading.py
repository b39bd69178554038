"""YAML files to validated protocols, with errors that name file and key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocols.schema import Protocol, PublishedRow

FOLDER = Path(__file__).parent


class ProtocolError(ValueError):
    """A protocol that is not there, or that does not say what it must. The message is one line for the user."""


def nearest(name: str, known: list[str]) -> str:
    """' Did you mean X?' where X is near, else ''."""
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


def first_line(error: BaseException) -> str:
    """Of an error's text, which may have none: messages to the user are one line."""
    return (str(error).splitlines() or [""])[0]


def unknown(what: str, name: str, known: list[str]) -> str:
    """`no recipe named 'quik'. Did you mean 'quick'? There are: paper, quick.`"""
    return f"no {what} named {name!r}.{nearest(name, known)} There are: {', '.join(known)}."


def protocol_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


class UniqueKeys(yaml.SafeLoader):
    """PyYAML's safe loader, but a key that stands twice is an error: the last one would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} stands twice", node.value[index][0].start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeys)  # derives from SafeLoader
    except FileNotFoundError:
        raise ProtocolError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{path}: cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}:" if where else ""
        problem = getattr(error, "problem", None) or first_line(error)
        raise ProtocolError(f"{path}:{line} not valid YAML ({problem})") from None


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first fault of a pydantic error on one line: the key, what is wrong, the nearest right key."""
    faults = error.errors()
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = known_keys(model, fault["loc"][:-1]) if model else []
        return f"unknown key {key!r}.{nearest(str(fault['loc'][-1]), known)}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {str(fault['input'])[:80]!r})" if key else message


def known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the part of `model` that `path` leads to, as far as it can be followed."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a dictionary's key: its values are described by the field we stand on
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        inner = [t for t in inner if issubclass(t, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def load_protocol(name: str) -> Protocol:
    """The protocol of that name in this folder, or of the YAML file at that path.

    Raises ProtocolError with the nearest right name, or with file and key.
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else FOLDER / f"{name}.yaml"
    if not is_file and name not in protocol_names():
        raise ProtocolError(unknown("protocol", name, protocol_names()))
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ProtocolError(f"{path}: a protocol is a mapping of keys to values")
    try:
        protocol = Protocol.model_validate(content)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error, Protocol)}") from None
    if protocol.name != path.stem:
        raise ProtocolError(f"{path}: name is {protocol.name!r}, but the file is called {path.stem!r}")
    return protocol


def load_published(name: str) -> tuple[PublishedRow, ...]:
    """Figures that papers print for this protocol, from published/<name>.yaml; empty where there is no such file."""
    path = FOLDER / "published" / f"{name}.yaml"
    if not path.exists():
        return ()
    try:
        return TypeAdapter(tuple[PublishedRow, ...]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error)}") from None
