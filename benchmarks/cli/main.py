"""The command line. torch is imported only after the options are parsed, so that --help and --list answer at once."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.options import DEFAULT, PROGRAM, parser
from benchmarks.system.settings import MOST_THREADS, Settings
from benchmarks.system.surroundings import cores, settle

if TYPE_CHECKING:
    from benchmarks.planning.ledger import Ledger
    from benchmarks.records.identity import Identity
    from protocols.schema import Protocol
    from protocols.study import Study

DONE, FAILED, USAGE = 0, 1, 2


def command() -> int:
    """The installed command `fscil-bench`: what `python run_all.py` is in a checkout."""
    return main(sys.argv[1:], "fscil-bench")


def main(arguments: list[str], program: str = PROGRAM) -> int:
    """Executes a command line. Returns the exit status: 0 success; 1 a run failed, a check found faults, or the user interrupted;
    2 bad usage, missing data, or a disk error. Messages begin with the name of the program."""
    settle()
    if arguments[:1] == ["clean"]:
        task = partial(clean_up, arguments[1:], program)
    else:
        task = partial(dispatch, parser(program).parse_args(arguments))
    from benchmarks.system.errors import MENDS, USER_ERRORS, StorageError
    from protocols.reading import plain

    try:
        status = task()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except USER_ERRORS as error:
        print(f"{program}: {plain(str(error))}", file=sys.stderr)
        return USAGE
    except OSError as error:
        known = error.filename is not None or error.errno in MENDS  # without a file's name a disk error is the output's
        named = StorageError.of(Path(error.filename or "standard output"), error, "used")
        print(f"{program}: {named if known else f'the system refused: {error}'}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return FAILED


def clean_up(arguments: list[str], program: str) -> int:
    from benchmarks.tools.clean import clean

    return clean(arguments, program)


def dispatch(options: argparse.Namespace) -> int:
    from benchmarks.system.errors import UsageError
    from protocols.own_folder import take_own_folder

    refuse_without_effect(options)
    take_own_folder(options.methods_dir)
    if options.list:
        from benchmarks.cli.listing import OF_A_PIPE, listing

        print(listing(shutil.get_terminal_size((OF_A_PIPE, 24)).columns))
        return DONE
    if not all(1 <= number <= MOST_THREADS for number in (options.threads, 1 if options.workers is None else options.workers)):
        raise UsageError(f"--threads and --workers must be at least 1 and at most {MOST_THREADS:,}")
    if options.reproduce is not None and options.reproduce < 1:
        raise UsageError("--reproduce must be at least 1")
    if options.report_only:
        from benchmarks.cli.reporting import report_only

        return report_only(options)
    if options.export is not None or options.compare is not None:
        from benchmarks.cli.papers import compare_folders, export_tables

        return compare_folders(options) if options.compare is not None else export_tables(options)
    if options.confusion is not None:
        from benchmarks.cli.papers import show_confusion

        return show_confusion(options)
    if options.check is not None:
        from benchmarks.tools.check import check

        return DONE if check(options.check, Settings.of(options)) else FAILED
    from benchmarks.planning.published import check_published
    from protocols import load_protocol

    if options.verify or options.merge is not None:
        from benchmarks.tools.merge import merge
        from benchmarks.tools.verify import verify

        given = load_protocol(options.protocol) if options.protocol is not None else None
        settings = Settings.of(options)
        text, faults = verify(given, settings) if options.verify else merge(options.merge, given, settings)
        print(text)
        return FAILED if faults else DONE
    protocol = load_protocol(DEFAULT if options.protocol is None else options.protocol)
    check_published(protocol.printed_on)
    return run(options, protocol)


def refuse_without_effect(options: argparse.Namespace) -> None:
    """Raises UsageError for options that have no effect in the chosen mode, such as --seeds with --verify."""
    from benchmarks.system.errors import UsageError

    modes = {"--list": options.list, "--check": options.check is not None, "--verify": options.verify, "--report-only": options.report_only}
    modes |= {"--merge": options.merge is not None, "--export": options.export is not None, "--compare": options.compare is not None}
    modes["--confusion"] = options.confusion is not None
    if options.force and options.reproduce is not None:
        raise UsageError("--reproduce takes runs that are done, and with --force none is; leave --force out")
    for mode in ("--list", "--check"):
        if modes[mode] and options.protocol is not None:
            raise UsageError(f"{mode} is of no protocol; leave --protocol out")
    choices = {name: getattr(options, name) for name in ("methods", "seeds", "recipe", "split", "set", "force")}
    elsewhere = {name: getattr(options, name) for name in ("workers", "slurm", "ray")}
    elsewhere["executor"] = None if options.executor == "local" else options.executor
    needless = [f"--{name}" for name, value in elsewhere.items() if value not in (None, [])]
    if not (options.report_only or options.export is not None):
        choices["study"] = options.study
    chosen = [f"--{name}" for name, value in choices.items() if value not in (None, [], False)]
    for mode, asked in modes.items():
        if asked and chosen:
            raise UsageError(f"{mode} cannot choose among runs, it takes all that are there; leave {' and '.join(chosen)} out")
        if asked and needless:
            why = "takes about a minute in this process" if mode == "--check" else "runs nothing"
            raise UsageError(f"{mode} {why}; leave {' and '.join(needless)} out")


def run(options: argparse.Namespace, protocol: Protocol) -> int:
    from benchmarks.cli.reporting import show_table, write_pages
    from benchmarks.planning.ledger import Ledger
    from benchmarks.records.store import Store
    from benchmarks.sweeping.executors.choosing import executor_of

    settings = Settings.of(options)
    runs, probes = asked_for(options, protocol, settings)
    ledger = Ledger(Store(settings.results), probes, uuid.uuid4().hex if options.force else None)
    executor = executor_of(options)
    if options.plan:
        from benchmarks.cli.listing import plan_text, warnings_on
        from benchmarks.planning.preflight import check_plan, with_local_images
        from benchmarks.running.entering import refuse_impossible

        runs = with_local_images(protocol, runs, settings)
        missing = ledger.missing(runs)
        refuse_impossible(protocol, missing, settings)
        unchecked = check_plan(protocol, runs, settings) if missing else ""
        elements = executor.plan_text(runs, ledger) if executor is not None else ""
        print("\n".join(filter(None, (plan_text(runs, ledger, min(most_workers(options), max(1, len(missing)))), elements, unchecked))))
        for line in warnings_on(runs, ledger):
            print(line, file=sys.stderr)
        return DONE
    ledger.store.finish_replacing(protocol.name)
    if options.reproduce is not None:
        from benchmarks.tools.reproduce import reproduce

        text, faults = reproduce(protocol, runs, ledger, settings, options.reproduce, most_workers(options))
        print(text)
        return FAILED if faults else DONE
    from benchmarks.sweeping.progress import Progress
    from benchmarks.sweeping.sweep import sweep

    runs = on_images(protocol, runs, ledger, settings)
    outcome = sweep(protocol, runs, settings, most_workers(options), Progress(), ledger, executor)
    show_table(runs, ledger)
    try:
        write_pages(options, protocol)
    finally:  # also if the tables cannot be written
        print(outcome)
    return FAILED if outcome.failed else DONE


def asked_for(options: argparse.Namespace, protocol: Protocol, settings: Settings) -> tuple[list[Identity], dict[str, tuple[str, ...]]]:
    """The runs that a command asks for, and the probes that its studies need. Raises UsageError or MethodError."""
    from benchmarks.planning.plan import identities, make_request

    probes: dict[str, tuple[str, ...]] = {}
    if options.study is None:
        runs = identities(make_request(protocol, options.recipe, options.split, options.seeds, options.methods, options.set))
    else:
        from benchmarks.planning.studies import study_runs

        wanted = study_runs(protocol, studies_of(options), options.recipe, options.split, options.seeds)
        runs, probes = wanted.runs, wanted.probes
    if settings.precision != "auto":
        from benchmarks.planning.preflight import with_precision

        runs = with_precision(runs, settings)
    return runs, probes


def on_images(protocol: Protocol, runs: list[Identity], ledger: Ledger, settings: Settings) -> list[Identity]:
    """The runs with the hash of the local images filled in, if it is needed or the images are there.

    If runs are missing, their settings, images, splits and weights are checked first. Prints warnings to stderr.
    """
    from benchmarks.cli.listing import warnings_on
    from benchmarks.planning.preflight import check_before_training, done_in_another_precision, with_local_images
    from benchmarks.running.entering import refuse_impossible

    if not ledger.missing(runs):
        runs = with_local_images(protocol, runs, settings)
    if missing := ledger.missing(runs):
        refuse_impossible(protocol, missing, settings)
        images = check_before_training(protocol, runs, settings)
        runs = [run.model_copy(update={"images": images}) for run in runs]
        for line in done_in_another_precision(runs, ledger, settings):
            print(line, file=sys.stderr)
    for line in warnings_on(runs, ledger):
        print(line, file=sys.stderr)
    return runs


def studies_of(options: argparse.Namespace) -> list[Study]:
    """The studies named with --study. Raises UsageError or ProtocolError."""
    from benchmarks.system.errors import UsageError
    from protocols.study import load_studies

    if options.methods is not None or options.set:
        raise UsageError("--study names its methods and their parameters itself; leave --methods and --set out, or write a study")
    return load_studies(options.study)


def most_workers(options: argparse.Namespace) -> int:
    """Upper limit of worker processes: --workers if given, else cores divided by threads; on a GPU also limited by its memory, to at
    most twelve."""
    if options.workers is not None:
        return int(options.workers)
    from benchmarks.system.device import gpu_workers, pick_device

    device = pick_device(options.device)
    most = max(1, cores() // options.threads)
    return most if device.type == "cpu" else min(most, gpu_workers(device))
