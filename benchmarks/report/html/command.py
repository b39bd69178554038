"""The command line that repeats the runs of a row."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from benchmarks.records.identity import Identity
from protocols.loading import protocol_names
from protocols.seeds import in_ranges

AGAIN = "again"
"""Folder into which a row is repeated: in its own folder its runs are done."""


def command_of(identity: Identity, seeds: Iterable[int]) -> str:
    """A command for runs like this one with these seeds, into a results folder of its own.

    The precision is named, because `auto` may be another one elsewhere. A protocol that is not among those of the suite is named by a
    file, which the user must find.
    """
    protocol = identity.protocol if identity.protocol in protocol_names() else f"{identity.protocol}.yaml"
    method = f"{identity.method}:{identity.preset}" + (f"@{identity.asked_base}" if identity.asked_base else "")
    words = ["--protocol", protocol, "--recipe", identity.recipe, "--split", identity.split, "--methods", method]
    for key, value in sorted(identity.overrides.items()):
        target = f"@{key}" if "." in key else f"{identity.method}.{key}"
        words += ["--set", f"{target}={in_yaml(value)}"]
    words += ["--seeds", in_ranges(seeds), "--precision", str(identity.precision), "--results", AGAIN]
    return shlex.join(["python", "run_all.py", *words])


def in_yaml(value: Any) -> str:
    """JSON, but 1e-05 as 1.0e-05: YAML takes the former for text."""
    text = json.dumps(value)
    return text.replace("e", ".0e", 1) if isinstance(value, float) and "e" in text and "." not in text else text
