"""`--report-only`: writes pages from existing records. It imports neither torch nor any method, so that a broken method cannot stop it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.schema import Protocol
    from protocols.study import Study


def report_only(options: argparse.Namespace) -> int:
    """Writes the pages of one protocol, or of all that have records, in the results folder and every folder below it with records.

    Returns the exit status 0. Raises UsageError or ProtocolError.
    """
    from benchmarks.records.store import stores_below
    from benchmarks.report import write_report
    from benchmarks.system.errors import UsageError
    from protocols import load_protocol
    from protocols.pseudo import pseudo_origin
    from protocols.study import load_studies

    named = load_protocol(options.protocol) if options.protocol else None
    if options.study is not None:
        if named is None:
            raise UsageError("--report-only --study: name the protocol with --protocol")
        show(study_pages(named, load_studies(options.study), options.results))
        return 0
    if named is not None:
        show(write_report(named, options.results))
    for store in stores_below(options.results):
        folder = store.root.parent
        for name in store.protocols():
            if named is None or (folder != options.results and name == named.name) or (pseudo_origin(name) or ("",))[0] == named.name:
                show(pages_of(name, folder))
    return 0


def pages_of(name: str, folder: Path) -> Iterator[Path | str]:
    """Writes and yields the pages of the protocol of this name; yields a line of text if there is no such protocol."""
    from benchmarks.report import write_report
    from protocols import ProtocolError
    from protocols.pseudo import find_protocol

    try:
        protocol = find_protocol(name)
    except ProtocolError:
        yield f"{folder / 'records' / name}: there is no protocol of this name here; name its file with --protocol"
        return
    yield from write_report(protocol, folder)


def write_pages(options: argparse.Namespace, protocol: Protocol) -> None:
    """Writes the protocol's pages after a sweep, or those of the studies that were run."""
    from benchmarks.report import write_report
    from protocols.study import load_studies

    if options.study is None:
        show(write_report(protocol, options.results))
    else:
        show(study_pages(protocol, load_studies(options.study), options.results))


def study_pages(protocol: Protocol, studies: Sequence[Study], results: Path) -> Iterator[Path]:
    from benchmarks.report import write_study

    for study in studies:
        yield from write_study(protocol, study, results)


def show(pages: Iterator[Path | str] | Iterator[Path] | Sequence[Path]) -> None:
    for page in pages:
        print(page)
