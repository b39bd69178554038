"""Choose hyper-parameters on pseudo-sessions made of base classes: `python -m benchmarks.tools.search --help` (methods.md 1.7).

The base classes of a seed are split into pseudo-base and pseudo-novel classes, and part of their training images is
held out for testing. Neither a novel class nor a test image of the protocol is touched. Every grid point is a variant
like any other, so its records can be read with the same tools.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.splits import indices_sha256, make_split
from benchmarks.system.errors import USER_ERRORS, UsageError, storage_error
from benchmarks.system.quiet import silence_warnings
from benchmarks.system.settings import Settings, add_options
from benchmarks.system.streams import stream
from protocols.loading import first_line
from protocols.reading import plain, short
from protocols.schema import Protocol, Sessions

if TYPE_CHECKING:
    from benchmarks.planning.plan import Request

HELD_OUT = 0.1  # of a class's training images, and no fewer than HELD_OUT_AT_LEAST
HELD_OUT_AT_LEAST = 3
MOST_SESSIONS = 4
MOST_POINTS = 1000


def pseudo_sessions(sessions: Sessions) -> Sessions:
    """Up to four sessions of the protocol's way and shots, made of at most half of its base classes.

    Raises UsageError where the base is too small to be split.
    """
    count = min(MOST_SESSIONS, sessions.base // 2 // sessions.way)
    if count < 1:
        raise UsageError(f"{sessions.base} base classes are too few for pseudo-sessions of {sessions.way}")
    return Sessions(base=sessions.base - count * sessions.way, way=sessions.way, count=count, shots=sessions.shots)


def pseudo_protocol(protocol: Protocol, split: str) -> Protocol:
    """The protocol that pseudo-sessions of this split's base classes follow: same data, transforms, backbone, recipes."""
    return protocol.model_copy(
        update={
            "name": f"{protocol.name}-{split}-pseudo",
            "title": f"{protocol.title}: pseudo-sessions of base classes",
            "sessions": pseudo_sessions(protocol.sessions),
            "splits": ("canonical-order",),
            "canonical": None,
        }
    )


def pseudo_images(protocol: Protocol, images: ImageSet, split_name: str, seed: int) -> ImageSet:
    """Base training images only, part of them held out as the test side; classes numbered by order of arrival."""
    split = make_split(protocol, split_name, seed, images.train_classes, images.test_classes, images.keys)
    labels = split.labels(images.train_classes)
    train, test = [], []
    for label in protocol.sessions.span(0):
        rows = stream(seed, f"held-out/{label}").permutation(np.flatnonzero(labels == label))
        held_out = max(HELD_OUT_AT_LEAST, round(HELD_OUT * len(rows)))
        test.append(np.sort(rows[:held_out]))
        train.append(np.sort(rows[held_out:]))
    train_rows, test_rows = np.concatenate(train), np.concatenate(test)
    plain = images.plain[train_rows]
    return ImageSet(
        class_names=tuple(images.class_names[number] for number in split.order[: protocol.sessions.base]),
        train=plain if images.train is images.plain else images.train[train_rows],
        plain=plain,
        test=images.plain[test_rows],
        train_classes=labels[train_rows],
        test_classes=labels[test_rows],
        keys=None,
        sha256=f"{images.sha256} pseudo {indices_sha256([train_rows, test_rows])}",
    )


def parse_grid(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`epochs=5,10,20 gamma=0.6,0.8` to every combination. Raises UsageError."""
    from benchmarks.planning.plan import parse_value

    axes: dict[str, list[tuple[str, Any]]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not (key and equals and values):
            raise UsageError(f"--grid {short(text)}: write FIELD=VALUE,VALUE,...")
        if key in axes:
            raise UsageError(f"--grid {short(text)}: {short(key)} stands twice; write all its values behind one =")
        axes[key] = [(key, parse_value(value, f"--grid {short(text)}")) for value in values.split(",")]
    if (points := math.prod(map(len, axes.values()))) > MOST_POINTS:
        raise UsageError(f"--grid: {points:,} points; at most {MOST_POINTS:,} can be tried at a time")
    return [dict(point) for point in itertools.product(*axes.values())]


def search(asked: Request, grid: Sequence[dict[str, Any]], settings: Settings) -> str:
    """Run every grid point on every seed's pseudo-sessions; a Markdown table, the best harmonic mean first.

    A point that fails is named and left out. All points ever tried stand in results/search/<protocol>-<split>-pseudo.md.
    """
    from benchmarks.planning.plan import make_identity
    from benchmarks.records.reading import read_record
    from benchmarks.records.schema import Record
    from benchmarks.records.store import Store
    from benchmarks.report import write_report
    from benchmarks.report.section import Section
    from benchmarks.report.tables import final_table
    from benchmarks.running.runner import Runner
    from benchmarks.system.device import make_deterministic

    make_deterministic(settings.threads)
    if len(asked.variants) != 1:
        raise UsageError("--method: one at a time")
    [(method, preset)] = asked.variants
    protocol, pseudo = asked.protocol, pseudo_protocol(asked.protocol, asked.split)
    request = replace(asked, protocol=pseudo, split="canonical-order")
    store = Store(settings.results / "search")
    images = load_images(protocol.data, settings.data_root)
    found: dict[str, list[Record]] = {}
    for seed in request.seeds:
        runner = Runner(pseudo, settings, pseudo_images(protocol, images, asked.split, seed))
        for point in grid:
            identity = make_identity(request, method, preset, point, seed)
            if not store.is_done(identity, runner.images.sha256):
                try:
                    store.save(*runner.run(identity))
                except Exception as error:  # too high a rate, say: the other points still count
                    if (refusal := storage_error(error)) is not None:
                        raise refusal from None
                    print(f"{identity.variant} seed {seed}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
                    continue
                print(f"{identity.variant} seed {seed} done", file=sys.stderr, flush=True)
            found.setdefault(identity.variant, []).append(read_record(store.path(identity, ".json")))
    if not found:
        raise UsageError("no point of the grid could be run")
    write_report(pseudo, settings.results / "search", "python -m benchmarks.tools.search")
    best = sorted(found, key=lambda name: -last_harmonic(found[name]))
    return final_table(Section(request.recipe, request.split, {name: found[name] for name in best}))


def last_harmonic(records: Sequence[Any]) -> float:
    """The criterion: harmonic mean of base and novel accuracy after the last pseudo-session, averaged over seeds.

    Overall accuracy would choose to learn nothing, since BaseOnly is hard to beat in it (methods.md 2.1).
    """
    from benchmarks.metrics.accuracy import harmonic_mean

    base = records[0].identity.sessions.base
    return float(np.mean([harmonic_mean(record.sessions[-1].correct, record.sessions[-1].total, base) for record in records]))


def main(arguments: list[str]) -> int:
    silence_warnings()
    from benchmarks.planning.plan import make_request
    from methods.contract.registry import MethodError
    from protocols import load_protocol

    p = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.search", description="Choose a method's parameters on pseudo-sessions of base classes."
    )
    p.add_argument("--protocol", required=True)
    p.add_argument("--method", required=True, help="such as lecnet or lecnet:code")
    p.add_argument("--grid", required=True, nargs="+", metavar="FIELD=VALUES", help="such as epochs=5,10,20 gamma=0.6,0.8")
    p.add_argument("--seeds", default="0-2")
    p.add_argument("--recipe")
    p.add_argument("--split", help="whose base classes to use (default: the protocol's first)")
    add_options(p)
    o = p.parse_args(arguments)
    try:
        request = make_request(load_protocol(o.protocol), o.recipe, o.split, o.seeds, o.method, [])
        table = search(request, parse_grid(o.grid), Settings.of(o))
    except (*USER_ERRORS, MethodError) as error:
        print(f"search: {plain(str(error))}", file=sys.stderr)
        return 2
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
