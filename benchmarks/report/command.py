"""Command lines that pages name: what runs a protocol or a study, and what repeats the runs of a row."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from benchmarks.records.identity import Identity
from protocols.loading import as_asked
from protocols.own_folder import SHIPPED
from protocols.schema import Protocol
from protocols.seeds import in_ranges
from protocols.study import study_as_asked

OWN = ["--methods-dir", "FOLDER"]
"""Stands for the folder of the user's own methods, which a page does not know, as it may be written elsewhere."""
AGAIN = "again"
"""Folder into which a row is repeated: in its own folder its runs are done."""


def command_of(protocol: Protocol, study: str = "", runs: Iterable[Identity] = ()) -> str:
    """The command that runs a protocol, or a study on it; with the user's folder of methods where some of the `runs` need it."""
    named = f" --study {study_as_asked(study)}" if study else ""
    return " ".join([f"python run_all.py --protocol {as_asked(protocol.name)}{named}", *(OWN if any(map(is_own, runs)) else ())])


def is_own(run: Identity) -> bool:
    """Whether a run is of a method or on a base kind that the suite does not have."""
    files = [f"{run.method}.py", *(f"bases/{stage.base}.py" for stage in run.stages)]
    return not all((SHIPPED / file).exists() for file in files)


def repeating(identity: Identity, seeds: Iterable[int]) -> str:
    """A command for runs like this one with these seeds, into a results folder of its own.

    The precision is named, because `auto` may be another one elsewhere.
    """
    method = f"{identity.method}:{identity.preset}" + (f"@{identity.asked_base}" if identity.asked_base else "")
    words = ["--protocol", as_asked(identity.protocol), "--recipe", identity.recipe, "--split", identity.split, "--methods", method]
    for key, value in sorted(identity.overrides.items()):
        target = f"@{key}" if "." in key else f"{identity.method}.{key}"
        words += ["--set", f"{target}={json.dumps(value)}"]
    words += ["--seeds", in_ranges(seeds), "--precision", str(identity.precision), "--results", AGAIN]
    words += OWN if is_own(identity) else []
    return shlex.join(["python", "run_all.py", *words])
