"""Checks before training: images, splits of every seed, pre-trained weights, writable folders."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.data.equal import equal_pictures
from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.sources.raw import without_downloads
from benchmarks.data.splits import make_split
from benchmarks.data.weights import find_weights
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.single_images import refuse_single_images
from benchmarks.planning.validation import check_last_block
from benchmarks.records.edited import Sources, edited, files_of, sources_of
from benchmarks.records.identity import Identity
from benchmarks.system.device import pick_device, resolve_precision
from benchmarks.system.errors import DataError, NotHereError, StorageError
from benchmarks.system.settings import Settings
from methods.parts.backbones import build_backbone
from protocols.messages import first_line
from protocols.schema import Protocol

RESNET18_HALVES = 32
"""Factor between the sides of an image and of ResNet-18's last maps."""


def check_before_training(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> str:
    """Checks precision, folders, images, splits and weights. Returns the hash of the images, which are then decoded in their cache.

    Raises UsageError, DataError or StorageError; the message says what to fix.
    """
    with_precision(runs, settings)
    try:
        for folder in (settings.results, settings.data_root):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.of(Path(error.filename or folder), error) from None
    try:
        tempfile.TemporaryFile(dir=settings.results).close()
    except OSError as error:  # which names a file of its own
        raise StorageError.of(settings.results, error) from None
    images = checked_images(protocol, runs, settings)
    for line in (*small_maps(protocol), *images.notes, *equal_pictures(images)):
        print(line, file=sys.stderr)
    return images.sha256


def check_plan(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> str:
    """Checks what a run would check of images, splits and weights, without fetching any, for runs that `with_local_images` returned.

    Returns a line on images or weights that are not to be had yet, which says what could not be checked; else on equal pictures, or ''.
    Raises what a run would raise."""
    with_precision(runs, settings)
    with without_downloads():
        try:
            images = checked_images(protocol, runs, settings, verified=runs[0].images)
        except NotHereError as error:
            return f"not checked: {error}"
    return "\n".join(equal_pictures(images))


def checked_images(protocol: Protocol, runs: Sequence[Identity], settings: Settings, verified: str | None = None) -> ImageSet:
    """The images, after a check of the splits of all runs and of the weights. Images of the hash `verified`, which the same command has
    just loaded, are not hashed again. Raises UsageError, DataError or StorageError."""
    check_last_block(protocol, runs)
    images = load_images(protocol.data, settings.data_root, verified)
    alike: dict[tuple[str, int, bool], list[Identity]] = {}
    for run in runs:
        alike.setdefault((run.split, run.seed, run.selection == "val"), []).append(run)
    for (name, seed, val), several in sorted(alike.items()):
        made = make_split(protocol, name, seed, images.train_classes, images.test_classes, images.keys)
        split = made.without_held_out(images.train_classes, seed)[0] if val else made
        refuse_single_images(protocol, several, split, images.train_classes)
    check_fit(protocol, find_weights(protocol.backbone, settings.data_root))
    return images


def small_maps(protocol: Protocol) -> list[str]:
    """A warning for a backbone whose last maps have a single pixel on the protocol's images; empty if there is none."""
    name, side = protocol.backbone.name, protocol.data.size
    if name not in ("resnet18", "resnet18_2223") or side > RESNET18_HALVES:
        return []
    return [
        f"backbone {name} divides the side of its maps by {RESNET18_HALVES}: of images of data.size {side} a single pixel is left; it "
        "is made for larger images, and resnet20 or conv4 suit small ones"
    ]


def check_fit(protocol: Protocol, weights: Path | None) -> None:
    """Raises DataError if the file does not hold the tensors of the protocol's backbone."""
    if weights is None:
        return
    try:
        build_backbone(protocol.backbone.name, protocol.data.channels, weights, protocol.data.size, protocol.backbone.source)
    except ValueError as error:
        raise DataError(f"{protocol.name}, backbone.weights: {first_line(error)}") from None


def with_precision(runs: Sequence[Identity], settings: Settings) -> list[Identity]:
    """The runs, each with the precision in which it would be computed here. Raises UsageError."""
    device, said = pick_device(settings.device), settings.precision
    here = {wanted: resolve_precision(wanted, device, said) for wanted in {run.wanted_precision for run in runs}}
    return [run.model_copy(update={"precision": here[run.wanted_precision]}) for run in runs]


def done_in_another_precision(runs: Sequence[Identity], ledger: Ledger, settings: Settings) -> list[str]:
    """A warning for each other precision in which some of the runs were done, since tables do not mix precisions; empty if none."""
    here = zip(with_precision(runs, settings), map(ledger.record, runs), strict=True)
    done_in = Counter((str(record.identity.precision), str(run.precision)) for run, record in here if record is not None)
    return [
        f"{count} of these runs are done in {done}, the others would be in {now}, and tables keep the two apart; "
        f"--precision {done} goes on as before, another --results folder begins anew"
        for (done, now), count in done_in.items()
        if done != now
    ]


def edited_lines(runs: Sequence[Identity], ledger: Ledger) -> list[str]:
    """A warning for each variant with records that other sources computed under the same version."""
    of: dict[tuple[str, Sources], list[str]] = {}
    for record in edited(ledger.records(runs)):
        of.setdefault((record.identity.variant, sources_of(record.identity)), []).append(str(record.identity.seed))
    return [
        f"{variant}: its sources ({files_of(sources)}) have changed since seed {', '.join(seeds)} was run; raise the `version` of what "
        "changed, or run again with --force"
        for (variant, sources), seeds in of.items()
    ]


def with_local_images(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> list[Identity]:
    """The runs with the hash of the images on this disk, or as they are where there are none."""
    here, _ = images_or_why(protocol, settings)
    return [run if here is None else run.model_copy(update={"images": here.sha256}) for run in runs]


def images_or_why(protocol: Protocol, settings: Settings) -> tuple[ImageSet | None, str]:
    """The protocol's images and ''; or None and the reason why they are not on this disk. Reports and checks of finished runs can do
    without them, and fetch none."""
    try:
        with without_downloads():
            return load_images(protocol.data, settings.data_root), ""
    except (DataError, StorageError) as error:
        return None, str(error)
