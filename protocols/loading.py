"""YAML files to validated protocols, with errors that name file and key."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from protocols.messages import explain, first_line, nearest, unknown
from protocols.reading import ProtocolError, read_yaml, short
from protocols.schema import Protocol, PublishedRow

__all__ = ["ProtocolError", "explain", "first_line", "load_protocol", "load_published", "nearest", "protocol_names", "unknown"]

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


def load_published(name: str) -> tuple[PublishedRow, ...]:
    """Figures that papers print for this protocol, from published/<name>.yaml; empty where there is no such file.

    Raises ProtocolError, also for rows that do not fit the protocol of that name in this folder.
    """
    path = FOLDER / "published" / f"{name}.yaml"
    if not path.exists():
        return ()
    content = read_yaml(path)
    try:
        rows = TypeAdapter(tuple[PublishedRow, ...]).validate_python(content)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error)}") from None
    if name in protocol_names():
        check_rows(path, rows, load_protocol(name))
    return rows


def check_rows(path: Path, rows: tuple[PublishedRow, ...], protocol: Protocol) -> None:
    """A value a session, on a split that the protocol has. A report passes over rows of other lengths, which would hide this."""
    columns, splits = protocol.sessions.count + 1, (*protocol.splits, "unknown")
    for number, row in enumerate(rows):
        if len(row.accuracy) != columns:
            raise ProtocolError(f"{path}: {number}.accuracy: must have {columns} values, one a session (got {len(row.accuracy)})")
        if row.split not in splits:
            raise ProtocolError(f"{path}: {number}.split: must be one of {', '.join(splits)} (got {short(row.split)})")
