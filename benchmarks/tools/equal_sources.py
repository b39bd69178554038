"""Lists the present sources of methods as equal to those of an earlier commit: `python -m benchmarks.tools.equal_sources COMMIT`.

For whoever changes code under methods/ that computes the same bytes as before, which tests/methods/test_same_bytes.py has to show first.
The present sources are those of the files, committed or not. The hashes go into benchmarks/records/equal_sources.yaml; what has another
version since, of its method or a base kind, or is new, is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from benchmarks.records.edited import Present, Sources, present, sources_of
from benchmarks.records.source_hash import EQUAL
from benchmarks.records.store import stores_below
from benchmarks.system.errors import USER_ERRORS, UsageError
from benchmarks.system.files import write_atomic
from benchmarks.system.surroundings import settle
from methods.contract.registry import method_names, read_entry
from protocols.reading import read_yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmarks", "methods", "protocols")
Listing = dict[str, dict[int, list[list[str]]]]
HEADER = """\
# Hashes of sources (source_hash.py) that count as one, since a test proved that they compute the same bytes: method -> version -> lists.
# tests/methods/test_same_bytes.py is that test; rows on digits were also run again, seed 0. Written by
# `python -m benchmarks.tools.equal_sources` (docs/CODE.md).
"""
THERE = """
import json, sys
from benchmarks.records.stated import stated_kind_version, stated_version
from benchmarks.records.source_hash import source_hash
print(json.dumps([
    [[stated_version(method), stated_kind_version(base), [*map(stated_kind_version, parents)]], source_hash(method, base, tuple(parents))]
    for method, base, parents in json.load(sys.stdin)
]))
"""
"""What the earlier commit is asked, in words that commits before `records.edited.present` have, too."""


def used_sources(results: Path) -> list[Sources]:
    """Methods and base kinds that stand in records below a folder, and every method of methods/ with its own base kinds."""
    from methods.contract.loading import kind_and_parents, load_method  # torch, which a wrong call need not wait for

    used = {sources_of(record.identity) for store in stores_below(results) for name in store.protocols() for record in store.load(name)[0]}
    for entry in map(read_entry, method_names()):
        for preset in entry.presets:
            base, *parents = kind_and_parents(load_method(entry.name).own_base(preset))
            used.add((entry.name, base, tuple(parents[::-1])))
    return sorted(used)


def packed_at(commit: str) -> bytes:
    """The packages as a commit has them, as a tar file. Raises UsageError without git, or if it knows no such commit."""
    try:
        packed = subprocess.run(["git", "archive", commit, *PACKAGES], cwd=ROOT, capture_output=True)
    except FileNotFoundError:
        raise UsageError("git is not found here") from None
    if packed.returncode:
        raise UsageError(packed.stderr.decode().strip())
    return packed.stdout


def at_commit(commit: str, packed: bytes, asked: Sequence[Sources]) -> list[Present]:
    """Versions and hashes of sources in `packed`. Raises UsageError if the commit cannot answer."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(packed)) as files:
            files.extractall(folder, filter="data")
        told = subprocess.run([sys.executable, "-c", THERE], cwd=folder, input=json.dumps(asked), capture_output=True, text=True)
    if told.returncode:
        raise UsageError(f"{commit} cannot say what its sources are: {(told.stderr.strip().splitlines() or ['it ended'])[-1]}")
    return [((method, base, tuple(parents)), digest) for (method, base, parents), digest in json.loads(told.stdout)]


def changed(asked: Sequence[Sources], before: Sequence[Present], now: Sequence[Present]) -> list[tuple[str, int, str, str]]:
    """(method, version, earlier hash, present hash) of all whose sources changed under the same versions."""
    pairs = zip(asked, before, now, strict=True)
    return [
        (sources[0], versions[0], earlier, now_hash)
        for sources, (old, earlier), (versions, now_hash) in pairs
        if versions[0] is not None and versions == old and earlier is not None and now_hash is not None and earlier != now_hash
    ]


def with_pairs(listing: Listing, pairs: Iterable[tuple[str, int, str, str]]) -> Listing:
    """The listing in which each pair stands in one group, with all that either was equal to before."""
    grown = {method: {version: [set(group) for group in groups] for version, groups in of.items()} for method, of in listing.items()}
    for method, version, *pair in pairs:
        groups = grown.setdefault(method, {}).setdefault(version, [])
        touched = [group for group in groups if group & set(pair)]
        groups[:] = [group for group in groups if group not in touched] + [set(pair).union(*touched)]
    return {method: {version: sorted(map(sorted, groups)) for version, groups in of.items()} for method, of in grown.items()}


def as_text(listing: Mapping[str, Mapping[int, Sequence[Sequence[str]]]]) -> str:
    """YAML with one group a line, so that a change shows in few lines."""
    lines = []
    for method, versions in sorted(listing.items()):
        lines.append(f"{method}:")
        for version, groups in sorted(versions.items()):
            written = [json.dumps(list(group)) for group in groups]
            lines += [f"  {version}: [{written[0]}]"] if len(written) == 1 else [f"  {version}:", *(f"    - {group}" for group in written)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    settle()
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.equal_sources", description="List present sources as equal to those of an earlier commit."
    )
    p.add_argument("commit", help="whose numbers the present sources give, as tests/methods/test_same_bytes.py has shown")
    o = p.parse_args(arguments)
    try:
        packed, listing = packed_at(o.commit), read_yaml(EQUAL)
        if not listing:
            raise UsageError(f"{EQUAL.relative_to(ROOT)} lists nothing; take it back from git")
        asked = used_sources(ROOT / "results")
        now = [present(sources) for sources in asked]
        pairs = changed(asked, at_commit(o.commit, packed, asked), now)
        write_atomic(EQUAL, (HEADER + as_text(with_pairs(listing, pairs))).encode())
    except USER_ERRORS as error:
        print(f"equal_sources: {error}", file=sys.stderr)
        return 2
    print(f"{len(pairs)} changed sources of {len({method for method, *_ in pairs})} methods listed as equal")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
