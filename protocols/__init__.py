"""Protocols: definitions of benchmarks as validated data. schema.py declares every key of their YAML files."""

from protocols.loading import ProtocolError, load_protocol, protocol_names
from protocols.printed import load_published, load_published_study, printed_beside

__all__ = ["ProtocolError", "load_protocol", "load_published", "load_published_study", "printed_beside", "protocol_names"]
