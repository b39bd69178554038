"""Loads YAML files as validated protocols. Errors name the file and the key."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from protocols.fields import Strict
from protocols.messages import explain, unknown
from protocols.own_folder import backbone_file, source_of
from protocols.reading import ProtocolError, content_of_shipped, names_in, read_yaml
from protocols.schema import Protocol, TitledFile

__all__ = ["ProtocolError", "as_asked", "load_protocol", "protocol_names"]

FOLDER = Path(__file__).parent
Model = TypeVar("Model", bound=Strict)
Titled = TypeVar("Titled", bound=TitledFile)


def protocol_names() -> list[str]:
    return names_in(FOLDER)


def load_protocol(name: str) -> Protocol:
    """The protocol of that name in this folder, or of the YAML file at that path.

    Raises ProtocolError with the nearest known name, or with file and key.
    """
    protocol = load_named(name, FOLDER, "protocol", Protocol)
    if protocol.printed is not None and protocol.printed not in (known := protocol_names()):
        raise ProtocolError(f"{file_of(name, FOLDER)}: printed: {unknown('protocol', protocol.printed, known)}")
    return with_source(protocol)


def with_source(protocol: Protocol) -> Protocol:
    """The protocol with the hash of its backbone's file filled in, if that is a `module:NAME` which the folder of methods holds."""
    backbone = protocol.backbone
    path = backbone_file(backbone.module) if backbone.module and backbone.source is None else None
    if path is None:
        return protocol
    return protocol.model_copy(update={"backbone": backbone.model_copy(update={"source": source_of(path)})})


def names_a_file(name: str) -> bool:
    """Whether a name that a user gives is a path to a YAML file, and not a name of one that is shipped."""
    return name.endswith((".yaml", ".yml"))


def file_of(name: str, folder: Path) -> Path:
    """The YAML file that a name stands for: itself if it is a path, else one of the folder."""
    return Path(name) if names_a_file(name) else folder / f"{name}.yaml"


def as_asked(name: str, folder: Path = FOLDER) -> str:
    """A protocol (or what else stands in `folder`) as a command names it: one of the suite by name, another by its file, which the user
    must find."""
    return name if name in names_in(folder) else f"{name}.yaml"


def load_named(name: str, folder: Path, what: str, model: type[Titled]) -> Titled:
    """Loads the YAML file `name` of the folder, or the one at that path. Its key `name` must be the file's name. Raises ProtocolError."""
    is_file, path = names_a_file(name), file_of(name, folder)
    if not is_file and name not in (known := names_in(folder)):
        raise ProtocolError(unknown(what, name, known))
    loaded = validated(read_yaml(path) if is_file else content_of_shipped(path), path, what, model)
    if loaded.name != path.stem:
        raise ProtocolError(f"{path}: name is {loaded.name!r}, but must be {path.stem!r}, as the file is called")
    return loaded


def load_mapping(path: Path, what: str, model: type[Model]) -> Model:
    """Loads a YAML file that holds a mapping as an instance of `model`. Raises ProtocolError with file and key."""
    return validated(read_yaml(path), path, what, model)


def validated(content: Any, path: Path, what: str, model: type[Model]) -> Model:
    """What the file at `path` holds as an instance of `model`. Raises ProtocolError with file and key."""
    if not isinstance(content, dict):
        raise ProtocolError(f"{path}: a {what} is a mapping of keys to values")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error, model)}") from None


@cache
def for_full_data() -> frozenset[str]:
    """Methods that every few-shot protocol of this folder leaves out: they are made for sessions with all images."""
    few = [protocol for name in protocol_names() if (protocol := load_protocol(name)).sessions.shots != "all" and not protocol.methods]
    return frozenset(set.intersection(*(set(protocol.without) for protocol in few)) if few else ())
