"""Pseudo-sessions: sessions with a protocol's way and shots, made of its base classes, to choose parameters on (docs/methods.md 1.7)."""

from __future__ import annotations

from protocols.loading import load_protocol, protocol_names
from protocols.reading import ProtocolError
from protocols.schema import Protocol, Sessions

ENDING = "-pseudo"
MOST_SESSIONS = 4


def pseudo_sessions(sessions: Sessions) -> Sessions:
    """Up to four sessions of the protocol's way and shots, made of at most half of its base classes.

    Raises ProtocolError if there are too few base classes.
    """
    count = min(MOST_SESSIONS, sessions.base // 2 // sessions.way)
    if count < 1:
        raise ProtocolError(f"{sessions.base} base classes are too few for pseudo-sessions of {sessions.way}")
    return Sessions(base=sessions.base - count * sessions.way, way=sessions.way, count=count, shots=sessions.shots)


def pseudo_protocol(protocol: Protocol, split: str) -> Protocol:
    """The protocol of pseudo-sessions made of this split's base classes, with the same data, transforms, backbone, recipes."""
    return protocol.model_copy(
        update={
            "name": f"{protocol.name}-{split}{ENDING}",
            "title": f"{protocol.title}: pseudo-sessions of base classes",
            "sessions": pseudo_sessions(protocol.sessions),
            "splits": ("canonical-order",),
            "canonical": None,
        }
    )


def pseudo_origin(name: str) -> tuple[str, str] | None:
    """Protocol and split that a name such as `cifar100-paper-pseudo` stands for; None for any other name."""
    for protocol in protocol_names():
        split = name.removeprefix(f"{protocol}-").removesuffix(ENDING)
        if name == f"{protocol}-{split}{ENDING}" and split in load_protocol(protocol).splits:
            return protocol, split
    return None


def find_protocol(name: str) -> Protocol:
    """The protocol of that name in this folder, or the pseudo-sessions of one. Raises ProtocolError."""
    origin = pseudo_origin(name)
    return load_protocol(name) if origin is None else pseudo_protocol(load_protocol(origin[0]), origin[1])
