"""Runs of the tiny protocol, as a command line asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from protocols.schema import Protocol


def with_recipe(protocol: Protocol, **changes: Any) -> Protocol:
    """The tiny protocol with its recipe changed."""
    content = protocol.model_dump(mode="json")
    content["recipes"]["fast"] |= changes
    return Protocol.model_validate(content)


def runs_of(protocol: Protocol, methods: str, overrides: Sequence[str] = (), seeds: str = "0") -> list[Identity]:
    return identities(make_request(protocol, None, None, seeds, methods, overrides))


def placed(run: Identity) -> str:
    """Where it lies once its images and its precision are known."""
    return str(run.model_copy(update={"images": "c" * 64, "precision": "fp32"}).stem)
