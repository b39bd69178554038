"""What is measured: protocols as validated data. See schema.py for every key a YAML may have."""

from protocols.loading import ProtocolError, load_protocol, protocol_names
from protocols.printed import load_published, load_published_study

__all__ = ["ProtocolError", "load_protocol", "load_published", "load_published_study", "protocol_names"]
