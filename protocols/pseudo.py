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
            "title": f"{protocol.title}: pseudo-sessions of the base classes of split {split}",
            "sessions": pseudo_sessions(protocol.sessions),
            "splits": ("canonical-order",),
            "canonical": None,
        }
    )


def pseudo_origin(name: str, given: Protocol | None = None) -> tuple[Protocol, str] | None:
    """Protocol and split that a name such as `cifar100-paper-pseudo` stands for; None for any other name. `given` is one that was named
    by its file."""
    known = {} if given is None else {given.name: given}
    if name in known:
        return None
    for protocol in (*known, *protocol_names()):
        split = name.removeprefix(f"{protocol}-").removesuffix(ENDING)
        if name == f"{protocol}-{split}{ENDING}" and split in (origin := known.get(protocol) or load_protocol(protocol)).splits:
            return origin, split
    return None


def find_protocol(name: str, given: Protocol | None = None) -> Protocol:
    """The protocol of that name, `given` or in this folder, or the pseudo-sessions of one. Raises ProtocolError."""
    if given is not None and name == given.name:
        return given
    origin = pseudo_origin(name, given)
    return load_protocol(name) if origin is None else pseudo_protocol(*origin)


def is_of(name: str, protocol: Protocol | None) -> bool:
    """Whether records under this name are the protocol's or those of its pseudo-sessions; None: of any protocol."""
    if protocol is None or name == protocol.name:
        return True
    origin = pseudo_origin(name, protocol)
    return origin is not None and origin[0].name == protocol.name
