"""Runs on stored features: what a method or a base kind needs beside them is named before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.base.frozen import try_on_outputs
from benchmarks.base.network import kind_at
from benchmarks.records.identity import BaseStage, Identity
from benchmarks.system.errors import UsageError
from methods.contract import BaseKind
from methods.contract.hooks import Hooks
from methods.contract.loading import load_method
from methods.contract.registry import read_entry
from protocols.schema import Augment, Protocol


def refuse_without_images(protocol: Protocol, runs: Sequence[Identity]) -> None:
    """Raises UsageError if a run of a protocol on stored features needs images, a network, or the lengths of features that have none; or,
    on any data, text vectors that are not there.

    A method says with `needs` what cannot be seen from outside: `network` (layers of a backbone), `lengths` (of raw features) or `texts`.
    """
    for run in () if protocol.data.texts else runs:
        if read_entry(run.method).needs == "texts":
            raise UsageError(
                f"{protocol.name} has no text vectors of its classes, and {run.variant} needs them: store them beside features, and say "
                "data.texts: true (docs/DATA.md)"
            )
    if protocol.data.features is None:
        return
    known: dict[str, str] = {}
    for run in runs:
        reason = needs_of_method(run, protocol.data.features.l2)
        if not reason:
            stages = repr(run.stages)
            if stages not in known:
                known[stages] = needs_of_kinds(protocol, run.stages)
            of_kinds = known[stages]
            own = f", or write {run.method}@cosine if its rule can stand on that base" if run.asked_base is None else ""
            reason = f"its base kind {of_kinds}; leave it out{own}" if of_kinds else ""
        if reason:
            raise UsageError(f"{protocol.name} has stored features and no images, and {run.variant} cannot run on these: {reason}")


def needs_of_method(run: Identity, l2: bool) -> str:
    """What the method of a run needs beside features; empty if it needs nothing."""
    method, needs = load_method(run.method), read_entry(run.method).needs
    if method.embed is not Hooks.embed:
        return "it changes images before they are embedded"
    if needs == "network":
        return "it trains the layers of a network"
    if needs == "lengths" and l2:
        return "it reads the lengths of raw features, and all of these have length 1"
    return "it augments images" if changes_images(run.config.get("augment")) else ""


def needs_of_kinds(protocol: Protocol, stages: Sequence[BaseStage]) -> str:
    """Which of the base kinds needs more than features, and what; empty if none does. Each one's loss is tried on a few random features."""
    kinds = [(kind_at(stage), 1.0) for stage in stages]
    for kind, _ in kinds:
        if kind.changes_images:
            return f"{kind.name} changes images"
        if kind.views > 1 or type(kind).other_views is not BaseKind.other_views:
            return f"{kind.name} shows several augmented views of an image"
        if changes_images(kind.config.augment and kind.config.augment.model_dump()):
            return f"{kind.name} augments images"
    for number, (kind, _) in enumerate(kinds, start=1):
        try:
            try_on_outputs(protocol, kinds[:number], "none")
        except Exception:  # a kind may fail in any way at what is no image
            return f"{kind.name} needs images, or maps inside of a network"
    return ""


def changes_images(augment: object) -> bool:
    """Whether an augmentation, as JSON has it, does anything."""
    return augment is not None and Augment.model_validate(augment) != Augment()
