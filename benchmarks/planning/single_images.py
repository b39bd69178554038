"""Batches of one image, from which batch norm cannot compute statistics where its maps have one pixel: named before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from benchmarks.data.splits import Indices, Split, folds
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from methods.contract.hooks import Hooks
from methods.contract.loading import load_method
from methods.parts.backbones import BACKBONES, build_backbone
from methods.parts.network import set_batch_norm
from protocols.schema import Protocol

BASE = "the base session"


@dataclass(frozen=True)
class Training:
    """The training of one session: `batch_norm` as in a method's parameters, `setting` of its batch size, and another way out."""

    what: str
    images: int
    batch: int
    batch_norm: str
    setting: str
    way_out: str = ""

    @property
    def advice(self) -> str:
        """The nearest batch size that leaves no single image; other advice if there is none."""
        good = [size for size in range(2, self.images + 1) if last_batch(self.images, size) > 1]
        nearest = min(good, key=lambda size: abs(size - self.batch), default=None)
        return (f"set {self.setting} to {nearest}" if nearest else "take more images") + self.way_out


def refuse_single_images(protocol: Protocol, runs: Sequence[Identity], split: Split, classes: Indices) -> None:
    """Raises UsageError if a base session or a session of these runs would train batch norm on a batch of one image and cannot.

    The runs are of this split, `classes` are those of all training images. Sessions that add exemplars to their images are left out,
    since the method chooses these.
    """
    network, channels, size = protocol.backbone.name, protocol.data.channels, protocol.data.size
    for run in runs:
        for training in trainings(run, split, classes):
            one_left = last_batch(training.images, training.batch) == 1
            if one_left and needs_two_images(network, channels, size, training.batch_norm) and trains_alone(run, training):
                raise UsageError(
                    f"{protocol.name}: {training.what} has {training.images} image{'s' if training.images > 1 else ''} in batches of "
                    f"{training.batch}, and batch norm of {network}, whose last maps have one pixel at data.size {size}, cannot train "
                    f"on a batch of one image; {training.advice}"
                )


def trainings(run: Identity, split: Split, classes: Indices) -> Iterator[Training]:
    """The base session of a run, and its sessions as far as they train on their own images, less those of a fold under selection val."""
    batch, config = run.base_recipe.batch, run.config
    where = f"recipes.{run.recipe}" + (f".bases.{run.base}" if "batch" in run.base_settings else "")
    yield Training(BASE, len(split.train[0]), batch, "train", f"{where}.batch")
    if config.get("epochs"):
        for number, indices in enumerate(split.train[1:], start=1):
            left_out = folds(indices, classes[indices]) if run.selection == "val" else []
            for size in sorted({len(indices), *(len(indices) - len(fold) for fold in left_out)}, reverse=True):
                what = f"session {number} of {run.variant}" + (", in a fold of selection val," if size < len(indices) else "")
                rest = (config.get("batch") or size, config.get("batch_norm", "eval"), f"{run.method}.batch")
                yield Training(what, size, *rest, f", or {run.method}.batch_norm to eval")


def trains_alone(run: Identity, training: Training) -> bool:
    """Whether a session trains on its own images without exemplars. Reads the method's file, so it is asked last."""
    beside = run.config.get("replay") == "beside"
    return training.what == BASE or beside or load_method(run.method).session_indices is Hooks.session_indices


def last_batch(images: int, batch: int) -> int:
    """Number of images in the last batch, which is the smallest."""
    return images % batch or min(images, batch)


@lru_cache
def needs_two_images(backbone: str, channels: int, size: int, batch_norm: str) -> bool:
    """Whether the backbone cannot train on one image under this `batch_norm` of a method's parameters. Computes nothing."""
    if batch_norm == "eval":
        return False
    foreign = build_backbone(backbone, channels, size=size).to("meta") if ":" in backbone else None
    with torch.device("meta"):
        network = (BACKBONES[backbone](channels) if foreign is None else foreign).eval()
        set_batch_norm(network if batch_norm == "train" else network.last_block, True)
        try:
            network(torch.zeros(1, channels, size, size))
        except ValueError:  # torch: more than one value a channel expected
            return True
    return False
