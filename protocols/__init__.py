"""What is measured: protocols as validated data. See schema.py for every key a YAML may have."""

from protocols.loading import ProtocolError, load_protocol, load_published, protocol_names

__all__ = ["ProtocolError", "load_protocol", "load_published", "protocol_names"]
