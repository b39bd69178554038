"""What a base session may ask where its recipe leaves the backbone frozen: seen, and tried, before the first of a run is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.base.network import kind_at, untrained
from benchmarks.base.outputs import given_by, part_of
from benchmarks.base.training import first_step, loss_of_batch, readable
from benchmarks.records.identity import Identity
from methods.contract import BaseKind
from protocols.schema import Augment, BaseRecipe, Protocol, Trains

TRIED = 4
"""Outputs of a frozen part that a base kind's loss is tried on."""


def check_frozen(protocol: Protocol, identity: Identity) -> None:
    """Raises ValueError where a base session of the run cannot be trained on outputs of the part that its recipe leaves frozen."""
    kinds: list[tuple[BaseKind, float]] = []
    for stage in identity.stages:
        kind, recipe = kind_at(stage), identity.recipe_of(stage)
        kinds.append((kind, 1.0))
        if recipe.trains != "all":
            refuse_images(kind, recipe, protocol.augment)
            with readable(kind, given_by(recipe.trains)):
                try_on_outputs(protocol, kinds, recipe.trains)


def refuse_images(kind: BaseKind, recipe: BaseRecipe, of_protocol: Augment) -> None:
    """Raises ValueError where a kind needs images, or more views of one than are stored."""
    own, stored = kind.config.augment or of_protocol, recipe.stored_views or 0
    others = kind.other_views(own)
    if kind.changes_images:
        raise ValueError(f"base kind {kind.name} changes images; it goes with trains all only, and has trains {recipe.trains}")
    if stored and any(view != (own, None) for view in others):
        raise ValueError(f"base kind {kind.name} has views with augmentations of their own; leave stored_views out")
    if 0 < stored <= len(others):
        alike = f"shows {len(others) + 1} views of an image, and stored_views is {stored}: they would be alike"
        raise ValueError(f"base kind {kind.name} {alike}")


def try_on_outputs(protocol: Protocol, kinds: Sequence[tuple[BaseKind, float]], trains: Trains) -> None:
    """Computes the loss of the last of these kinds (each with its head's gain) on a few random outputs of the frozen part, with random
    weights. Raises whatever that raises."""
    with torch.random.fork_rng(devices=[]):
        kind, data = kinds[-1][0], protocol.data
        network = untrained(protocol, kinds, "fp32", 0, None, torch.device("cpu"))
        generator = torch.Generator().manual_seed(0)
        if trains == "none":
            outputs = torch.randn(TRIED, network.feature_dim, generator=generator)
        else:
            with torch.no_grad():
                outputs = part_of(network, trains)(torch.randn(TRIED, data.channels, data.size, data.size, generator=generator))
        network.given = given_by(trains)
        views = [outputs] * (1 + len(kind.other_views(kind.config.augment or protocol.augment)))
        labels = torch.arange(TRIED) % protocol.sessions.base
        loss_of_batch(network, kind, views, labels, first_step(kind, network, outputs))
