"""YAML files to validated protocols, with errors that name file and key."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from protocols.messages import explain, first_line, nearest, unknown
from protocols.reading import ProtocolError, read_yaml
from protocols.schema import Protocol

__all__ = ["ProtocolError", "explain", "first_line", "load_protocol", "nearest", "protocol_names", "unknown"]

FOLDER = Path(__file__).parent


def protocol_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


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
        raise ProtocolError(f"{path}: name is {protocol.name!r}, but must be {path.stem!r}, as the file is called")
    return protocol
