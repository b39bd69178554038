"""Hashes of the sources that run in this process.

A file is imported once. Whoever edits it while a sweep goes on changes what a later command runs, not what this one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from benchmarks.records.edited import sources_of
from benchmarks.records.identity import Identity
from benchmarks.records.source_hash import kind_hash, source_hash
from methods.contract.loading import load_base_kind, load_method
from methods.contract.registry import MethodError


def sources_at_work(identity: Identity) -> str | None:
    """Hash of the sources of the run's method and base kinds when this process first asked; None if they could not be read."""
    sources = sources_of(identity)
    method, base, parents = sources
    return _once((load_method(method), *map(load_base_kind, (base, *parents))), source_hash, *sources)


def kind_at_work(base: str) -> str | None:
    """Hash of the sources of a base kind when this process first asked; None if they could not be read."""
    return _once((load_base_kind(base),), kind_hash, base)


def note_sources(runs: Sequence[Identity]) -> None:
    """To be called before the first run, when what is imported still is what stands in the files. What cannot be imported fails its run."""
    for run in runs:
        with suppress(MethodError):
            sources_at_work(run)
            for stage in run.stages:
                kind_at_work(stage.base)


# A class that is imported anew is another one, so that its sources are read again.
@lru_cache(maxsize=1024)
def _once(classes: tuple[type, ...], hash_of: Callable[..., str | None], *names: Any) -> str | None:
    return hash_of(*names)
