"""`--report-only`: writes pages from existing records. It imports neither torch nor any method, so that a broken method cannot stop it."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.planning.ledger import Ledger
    from benchmarks.records.identity import Identity
    from benchmarks.records.schema import Record
    from benchmarks.records.store import Store
    from protocols.schema import Protocol
    from protocols.study import Study


def report_only(options: argparse.Namespace) -> int:
    """Writes the pages of one protocol, or of all that have records, in the results folder and every folder below it with records.

    Returns the exit status 0. Raises UsageError or ProtocolError.
    """
    from benchmarks.records.store import Store, stores_below
    from benchmarks.report import write_report
    from benchmarks.system.errors import RecordError, UsageError
    from protocols import load_protocol
    from protocols.pseudo import is_of
    from protocols.study import load_studies

    named = load_protocol(options.protocol) if options.protocol is not None else None
    if options.study is not None:
        if named is None:
            raise UsageError("--report-only --study: the protocol must be named, with --protocol")
        show(study_pages(named, load_studies(options.study), options.results))
        show(index_page(options.results, [named]))
        return 0
    written, nothing = 0, RecordError(f"{options.results}: no records to report")
    if named is not None:
        Store(options.results).finish_replacing(named.name)
        try:
            written += show(write_report(named, options.results))
        except RecordError as error:  # there may be records of its pseudo-sessions
            nothing = error
    for store in stores_below(options.results):
        folder = store.root.parent
        for name in store.protocols():
            done = named is not None and folder == options.results and name == named.name
            if is_of(name, named) and not done:
                written += show(pages_of(name, store, named))
    if not written:
        raise nothing
    show(index_page(options.results, [named] if named else []))
    return 0


def pages_of(name: str, store: Store, given: Protocol | None = None) -> Iterator[Path | str]:
    """Writes and yields the pages of the protocol of this name; yields a line of text if the protocol cannot be read, and nothing for a
    folder without records."""
    from benchmarks.report import write_report
    from benchmarks.system.errors import RecordError
    from protocols import ProtocolError
    from protocols.loading import FOLDER
    from protocols.pseudo import find_protocol
    from protocols.reading import plain

    store.finish_replacing(name)
    if not any(store.load(name)):
        return
    try:
        yield from write_report(find_protocol(name, given), store.root.parent)
    except ProtocolError as error:
        yield plain(f"{store.root / name}: {error}" + ("" if (FOLDER / f"{name}.yaml").exists() else " Name its file with --protocol."))
    except RecordError as error:
        yield plain(str(error))


def write_pages(options: argparse.Namespace, protocol: Protocol) -> None:
    """Writes the protocol's pages after a sweep, or those of the studies that were run."""
    from benchmarks.report import write_report
    from protocols.study import load_studies

    if options.study is None:
        show(write_report(protocol, options.results))
    else:
        show(study_pages(protocol, load_studies(options.study), options.results))
    show(index_page(options.results, [protocol]))


def index_page(results: Path, known: Sequence[Protocol]) -> Sequence[Path]:
    """Writes the page over all protocols. Returns its path, or nothing for a folder without records. `known`: protocols named by a file."""
    from benchmarks.report.html import write_index

    page = write_index(results, known)
    return [] if page is None else [page]


def show_table(runs: Sequence[Identity], ledger: Ledger) -> None:
    """Prints short tables of the runs that are done, one for each recipe and precision: a line a method, means over seeds in percent."""
    from benchmarks.cli.listing import OF_A_PIPE
    from benchmarks.report.brief import brief, fitted
    from benchmarks.report.sections import measured_on

    for recipe in dict.fromkeys(run.recipe for run in runs):
        of_recipe = [run for run in runs if run.recipe == recipe]
        first, seeds = of_recipe[0], {run.seed for run in of_recipe}
        tables: dict[str, list[Record]] = {}
        for record in ledger.records(of_recipe):
            tables.setdefault(measured_on(record.identity), []).append(record)
        for records in tables.values():
            apart = f", {records[0].identity.precision}" if len(tables) > 1 else ""
            print(f"{first.protocol}, recipe {recipe}, split {first.split}{apart}: accuracy in percent, means over seeds\n")
            print(fitted(brief(records), len(seeds), shutil.get_terminal_size((OF_A_PIPE, 24)).columns) + "\n")
        done = {record.identity.variant for of_table in tables.values() for record in of_table}
        if without := [variant for variant in dict.fromkeys(run.variant for run in of_recipe) if variant not in done]:
            print(f"no run succeeded of {', '.join(without)}\n")


def study_pages(protocol: Protocol, studies: Sequence[Study], results: Path) -> Iterator[Path]:
    from benchmarks.report import write_study

    for study in studies:
        yield from write_study(protocol, study, results)


def show(pages: Iterator[Path | str] | Iterator[Path] | Sequence[Path]) -> int:
    """Prints the pages; returns how many there are."""
    count = 0
    for page in pages:
        print(page)
        count += 1
    return count
