"""Checks that published results name known methods and base kinds. A misspelt name would hide its row from every table."""

from __future__ import annotations

from methods.contract.registry import MethodError, base_kind_names, read_entry
from protocols import ProtocolError, load_published
from protocols.messages import unknown
from protocols.printed import published_file, published_groups


def check_published(protocol: str) -> None:
    """Raises ProtocolError if a published row names an unknown method or preset. Reads the methods' sources without importing them."""
    for group in ("", *published_groups(protocol)):
        check_file(protocol, group)


def check_file(protocol: str, group: str) -> None:
    for number, row in enumerate(load_published(protocol, group)):
        if row.method is None:
            continue
        where = f"protocols/published/{published_file(protocol, group).name}: {number}"
        if row.base is not None and row.base not in (kinds := base_kind_names()):
            raise ProtocolError(f"{where}.base: {unknown('base kind', row.base, kinds)}")
        try:
            presets = read_entry(row.method).presets
        except MethodError as error:
            raise ProtocolError(f"{where}.method: {error}") from None
        for preset in row.presets:
            if preset not in presets:
                raise ProtocolError(f"{where}.presets: {unknown('preset', preset, list(presets))}")
