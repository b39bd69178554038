"""`--export`, `--compare` and `--confusion`: existing records as tables for a paper, two results folders held against each other, and a
method's confusion by session. None loads torch or a method."""

from __future__ import annotations

import argparse


def export_tables(options: argparse.Namespace) -> int:
    """Writes the tables and figures of a protocol, or of its studies that are named. Returns the exit status 0.

    Raises UsageError for a format that cannot be written, RecordError if there is nothing to write.
    """
    from benchmarks.system.errors import UsageError
    from benchmarks.tools.export import export_protocol, export_study
    from protocols import load_protocol
    from protocols.study import load_studies

    if options.protocol is None:
        raise UsageError("--export: the protocol must be named, with --protocol")
    protocol = load_protocol(options.protocol)
    if options.study is None:
        paths = list(export_protocol(protocol, options.results, options.export))
    else:
        studies = load_studies(options.study)
        paths = [path for study in studies for path in export_study(protocol, study, options.results, options.export)]
    print("\n".join(map(str, paths)))
    return 0


def compare_folders(options: argparse.Namespace) -> int:
    """Prints what agrees. Returns the exit status: 0, or 1 if a method differs or a record cannot be used."""
    from benchmarks.tools.compare import compare
    from protocols import load_protocol

    first, second = options.compare
    text, faults = compare(first, second, None if options.protocol is None else load_protocol(options.protocol).name)
    print(text)
    return 1 if faults else 0


def show_confusion(options: argparse.Namespace) -> int:
    """Prints a method's confusion by session. Returns the exit status 0. Raises RecordError without records or predictions."""
    from benchmarks.cli.options import DEFAULT
    from benchmarks.tools.confusion import confusion
    from protocols import load_protocol

    print(confusion(load_protocol(options.protocol or DEFAULT), options.confusion, options.results))
    return 0
