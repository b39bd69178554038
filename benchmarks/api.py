"""The Python interface: `load_protocol`, `run`, `records`, `table`. Example: docs/PYTHON.md.

It does what the command line does, with the same records in the same folders, so that each finds the other's runs done.
"""

from __future__ import annotations

import argparse
import json
import operator
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records.schema import Record
from benchmarks.system.errors import UsageError
from benchmarks.system.surroundings import settle
from protocols import load_protocol
from protocols.loading import with_source
from protocols.reading import short
from protocols.schema import Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunError", "load_protocol", "records", "run", "table"]


class RunError(RuntimeError):
    """Some of the runs failed. The message names the first of them; the others are done."""


def run(
    protocol: Protocol | str,
    methods: str | Sequence[str] | None = None,
    *,
    seeds: str | int | Iterable[int] | None = None,
    recipe: str | None = None,
    split: str | None = None,
    changes: Mapping[str, Any] | None = None,
    results: Path | str = "results",
    data_root: Path | str | None = None,
    methods_dir: Path | str | None = None,
    device: str = "auto",
    threads: int = 1,
    force: bool = False,
) -> list[Record]:
    """Does the runs that are not done yet, one after another in this process, and returns the records of all that were asked for.

    Arguments are the command line's options: `methods` such as `["proto", "lecnet:code"]`, `seeds` such as `"0-4"` or `range(5)`, or one
    seed, `changes` such as `{"lecnet.gamma": 0.6}` for `--set`. Files of `methods_dir` are read anew. Progress goes to stderr. Sets torch
    to `threads` threads and to deterministic algorithms.

    Raises UsageError, MethodError, ProtocolError, DataError or StorageError as the command line would say; RunError if a run failed.
    """
    settle()
    from benchmarks.cli.main import asked_for, on_images
    from benchmarks.planning.ledger import Ledger
    from benchmarks.planning.preflight import with_precision
    from benchmarks.planning.published import check_published
    from benchmarks.records.failures import read_failure
    from benchmarks.records.store import Store
    from benchmarks.sweeping.progress import Progress
    from benchmarks.sweeping.sweep import IN_THIS_PROCESS, sweep
    from benchmarks.system.settings import Settings
    from methods.parts.own_files import forget_own_files

    named = {
        "methods": None if methods is None else in_text("methods", methods),
        "seeds": None if seeds is None else in_text("seeds", seeds),
        "recipe": recipe,
        "split": split,
        "results": results,
        "data-root": data_root,
        "methods-dir": methods_dir,
        "device": device,
        "threads": threads,
    }
    arguments = [f"--{name}={value}" for name, value in named.items() if value is not None]
    arguments += [f"--set={key}={in_json(key, value)}" for key, value in (changes or {}).items()]
    options = options_of([*arguments, *(["--force"] if force else [])])
    settings = Settings.of(options)
    forget_own_files()
    asked = load_protocol(protocol) if isinstance(protocol, str) else with_source(protocol)
    check_published(asked.printed_on)
    runs, probes = asked_for(options, asked, settings)
    ledger = Ledger(Store(settings.results), probes, uuid.uuid4().hex if force else None)
    ledger.store.finish_replacing(asked.name)
    runs = on_images(asked, runs, ledger, settings)
    outcome = sweep(asked, runs, settings, IN_THIS_PROCESS, Progress(), ledger)
    if outcome.failed:
        notes = (ledger.store.path(failed, ".failed.json") for failed in with_precision(ledger.missing(runs), settings))
        first = next((str(read_failure(note)) for note in notes if note.exists()), "see the lines above")
        raise RunError(f"{outcome.failed} of {len(runs)} runs failed: {first}")
    return ledger.records(runs)


def in_json(key: str, value: Any) -> str:
    """A value as --set reads it; numbers and arrays of NumPy or torch as they are. Raises UsageError for what no record could hold."""
    try:
        return json.dumps(value, default=lambda numbers: numbers.tolist())
    except (TypeError, ValueError, AttributeError, RuntimeError):
        raise UsageError(f"changes: {key} must be a number, a string, a list or a mapping (got {short(repr(value))})") from None


def in_text(name: str, value: object) -> str | int:
    """`seeds` or `methods` as an option reads them. Raises UsageError."""
    if isinstance(value, str):
        return value
    with suppress(TypeError):
        return operator.index(value)  # type: ignore[arg-type]
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise UsageError(f"{name} must be a string, a whole number or a sequence (got {short(repr(value))})")
    return ",".join(one if isinstance(one, str) else str(number_of(name, one)) for one in value)


def number_of(name: str, one: Any) -> int:
    """A whole number of any library. Raises UsageError."""
    try:
        return operator.index(one)
    except TypeError:
        raise UsageError(f"{name}: {short(repr(one))} is no whole number") from None


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's options. Raises UsageError where it would print its usage and end the process."""
    from benchmarks.cli.options import parser

    asked = parser()
    asked.exit_on_error = False
    try:
        return asked.parse_args(arguments)
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from None


def records(
    protocol: Protocol | str, results: Path | str = "results", *, recipe: str | None = None, split: str | None = None
) -> list[Record]:
    """The records in a results folder whose settings are those of the protocol's file, of one recipe or split if it is named.

    Records of other settings, and damaged ones, are left out. Raises ProtocolError; UsageError for a folder that is not there, or a recipe
    or split that the protocol has not.
    """
    from benchmarks.planning.plan import check_named
    from benchmarks.records.store import Store
    from benchmarks.report.sections import make_sections

    asked = load_protocol(protocol) if isinstance(protocol, str) else with_source(protocol)
    check_named(asked, recipe, split)
    if not (folder := Path(results).expanduser()).is_dir():
        raise UsageError(f"results {str(results)!r}: no such folder")
    found, _, failures = Store(folder).load(asked.name)
    of_section = [section for section in make_sections(asked, found, failures).current if recipe in (None, section.recipe)]
    return [record for section in of_section if split in (None, section.split) for record in section.records]


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Means over seeds, in percent: a row per method and preset, columns `Seeds`, one for each session, `Average`, `PD` (first minus last
    accuracy) and `Harmonic mean` (of base and novel accuracy, after the last session).

    Raises RecordError for records of several protocols, recipes or splits, or for two records of one run.
    """
    from benchmarks.report.brief import brief

    return brief(records)
