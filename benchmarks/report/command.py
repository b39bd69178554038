"""Command lines that pages name: what runs a protocol or a study, and what repeats the runs of a row."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from benchmarks.records.identity import Identity
from protocols.loading import as_asked
from protocols.schema import Protocol
from protocols.seeds import in_ranges
from protocols.study import study_as_asked

AGAIN = "again"
"""Folder into which a row is repeated: in its own folder its runs are done."""


def command_of(protocol: Protocol, study: str = "") -> str:
    """The command that runs a protocol, or a study on it."""
    return f"python run_all.py --protocol {as_asked(protocol.name)}" + (f" --study {study_as_asked(study)}" if study else "")


def repeating(identity: Identity, seeds: Iterable[int]) -> str:
    """A command for runs like this one with these seeds, into a results folder of its own.

    The precision is named, because `auto` may be another one elsewhere.
    """
    method = f"{identity.method}:{identity.preset}" + (f"@{identity.asked_base}" if identity.asked_base else "")
    words = ["--protocol", as_asked(identity.protocol), "--recipe", identity.recipe, "--split", identity.split, "--methods", method]
    for key, value in sorted(identity.overrides.items()):
        target = f"@{key}" if "." in key else f"{identity.method}.{key}"
        words += ["--set", f"{target}={in_yaml(value)}"]
    words += ["--seeds", in_ranges(seeds), "--precision", str(identity.precision), "--results", AGAIN]
    return shlex.join(["python", "run_all.py", *words])


def in_yaml(value: Any) -> str:
    """JSON, but 1e-05 as 1.0e-05: YAML takes the former for text."""
    text = json.dumps(value)
    return text.replace("e", ".0e", 1) if isinstance(value, float) and "e" in text and "." not in text else text
