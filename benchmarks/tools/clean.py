"""`run_all.py clean` lists and removes caches, notes of failed runs, and records of settings that no protocol has any more."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.records.schema import Record
from benchmarks.records.store import Store, stores_below
from benchmarks.report.html import kept
from benchmarks.report.sections import make_sections
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings, add_options
from protocols.pseudo import find_protocol
from protocols.reading import InputError
from protocols.schema import Protocol


def parser(program: str) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=f"{program} clean",
        description="Remove what may be removed. Name what: nothing is removed by default.",
        allow_abbrev=False,
    )
    p.add_argument(
        "--caches",
        action="store_true",
        help="base models, features, decoded images and kernels, and what is kept for the offline page",
    )
    p.add_argument("--failures", action="store_true", help="notes of failed runs")
    p.add_argument("--records", action="store_true", help="records and predictions of settings that no protocol has any more")
    p.add_argument("--dry-run", action="store_true", help="list them only")
    add_options(p)
    return p


def clean(arguments: Sequence[str], program: str) -> int:
    """Executes a command line. Returns the exit status 0. Raises UsageError or StorageError."""
    options = parser(program).parse_args(arguments)
    kinds = [kind for kind in KINDS if getattr(options, kind)]
    if not kinds:
        raise UsageError(f"clean: say what, with {', '.join(f'--{kind}' for kind in KINDS)}; --dry-run lists it only")
    settings = Settings.of(options)
    found = {kind: sorted(KINDS[kind](settings)) for kind in kinds}
    for kind, paths in found.items():
        for path in paths:
            print(f"{'would remove' if options.dry_run else 'removes'} {path} ({size_of(path) / 2**20:,.1f} MiB)")
            if not options.dry_run:
                remove(path)
                if kind != "caches":
                    drop_empty(path.parent)
        print(f"{kind}: {len(paths)} {'found' if options.dry_run else 'removed'}")
    return 0


def caches(settings: Settings) -> Iterator[Path]:
    """What is computed or decoded again when it is missed. Base models taken from another machine are not: they stay. So do locks, which
    a sweep may hold."""
    bases = settings.bases
    if bases.is_dir():
        yield from (path for path in bases.iterdir() if path.name != "taken" and path.suffix != ".lock")
    yield from (path for path in [settings.results / kept.FOLDER] if path.is_dir())
    yield from (path for name in (".cache", ".compiled") if (path := settings.data_root / name).is_dir())


def failures(settings: Settings) -> Iterator[Path]:
    for store in stores_below(settings.results):
        yield from (path for ending in (".failed.json", ".failed.txt") for path in store.root.rglob(f"*{ending}"))


def records(settings: Settings) -> Iterator[Path]:
    """Files of the records under "Other settings" on their page. Damaged records stay, and those of protocols that are not the suite's, or
    have other data or sessions."""
    for store in stores_below(settings.results):
        for name in store.protocols():
            yield from files_of(store, name)


def files_of(store: Store, name: str) -> Iterator[Path]:
    try:
        protocol = find_protocol(name)
    except InputError:  # perhaps a user's own file
        return
    found, _, failed = store.load(name)
    ours = [record for record in found if is_of_this(record, protocol)]
    for section in make_sections(protocol, ours, failed).other:
        for record in section.records:
            of_run = record.path.parent.glob(f"{record.path.stem}.*")
            yield from (path for path in of_run if path.suffix != ".lock")  # a sweep may hold it
            yield from record.path.parent.glob(f"*/{record.path.name}")  # what its probes traced


def is_of_this(record: Record, protocol: Protocol) -> bool:
    """Whether a record is of the suite's protocol, and not of a user's own file that has its name and other data or sessions."""
    identity = record.identity
    return identity.data.source == protocol.data.source and identity.sessions == protocol.sessions


KINDS: dict[str, Callable[[Settings], Iterator[Path]]] = {"caches": caches, "failures": failures, "records": records}


def size_of(path: Path) -> int:
    return sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())


def remove(path: Path) -> None:
    if path.is_symlink() and path.is_dir():  # a cache on another disk: the link stays, and the folder that it leads to
        for inside in path.iterdir():
            remove(inside)
        return
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)


def drop_empty(folder: Path) -> None:
    """Removes the folder, and those that it stands in, if they are empty now; not the one of all records."""
    while folder.name != "records" and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
