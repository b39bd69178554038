"""Batches of one image: named before training where batch norm cannot compute statistics from them, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.data.splits import Split
from benchmarks.planning.plan import identities, make_request
from benchmarks.planning.single_images import last_batch, needs_two_images, refuse_single_images
from benchmarks.sweeping.worker import explained
from benchmarks.system.errors import UsageError
from methods.parts.backbones import BACKBONES
from protocols.schema import Protocol

ONE_PIXEL: dict[str, dict[str, Any]] = {"data": {"size": 4}, "backbone": {"name": "resnet20"}}
"""ResNet-20 halves 4 pixels to 2 and 1."""


def asked(tiny: Protocol, variant: str, base: int, shots: int, *overrides: str, **changes: dict[str, Any]) -> None:
    """The check of a protocol with that many base images and images a session."""
    values = tiny.model_dump()
    for key, of_key in changes.items():
        values[key] |= of_key
    protocol = Protocol.model_validate(values)
    runs = identities(make_request(protocol, None, None, "0", variant, overrides))
    split = Split("paper", tuple(range(10)), 6, (np.arange(base), *(np.arange(shots),) * 2), (np.arange(1),) * 3)
    refuse_single_images(protocol, runs, split, np.arange(base) % 10)


@pytest.mark.parametrize(
    ("variant", "base", "shots", "overrides", "said"),
    [
        ("proto", 129, 5, (), r"^tiny: the base session has 129 images in batches of 64, .*; set recipes\.fast\.batch to 63$"),
        ("proto", 1, 5, (), r"the base session has 1 image in batches of 64, .*; take more images$"),
        ("lecnet", 65, 5, (), r"the base session has 65 images"),
        (
            "ft_cnn",
            128,
            1,
            (),
            r"session 1 of ft_cnn:topic has 1 image in batches of 1, .*; take more images, or ft_cnn\.batch_norm to eval$",
        ),
        ("ft_cnn", 128, 5, ("ft_cnn.batch=4",), r"session 1 .* has 5 images in batches of 4, .*; set ft_cnn\.batch to 3, or"),
        ("icarl", 128, 1, (), r"session 1 of icarl:topic has 1 image"),
    ],
)
def test_a_batch_of_one_image_is_named_before_training(
    variant: str, base: int, shots: int, overrides: tuple[str, ...], said: str, tiny: Protocol
) -> None:
    with pytest.raises(UsageError, match=said):
        asked(tiny, variant, base, shots, *overrides, **ONE_PIXEL)
    asked(tiny, variant, base, shots, *overrides)  # its maps have 16 pixels


@pytest.mark.parametrize(
    ("variant", "base", "shots", "overrides"),
    [
        ("proto", 130, 1, ()),
        ("lecnet", 128, 1, ()),
        ("ft_cnn", 128, 1, ("ft_cnn.batch_norm=eval",)),
        ("ft_cnn", 128, 1, ("ft_cnn.epochs=0",)),
        ("icarl:original", 128, 1, ()),
    ],
    ids=["two left", "frozen", "eval", "untrained", "with exemplars"],
)
def test_other_small_batches_are_not_refused(variant: str, base: int, shots: int, overrides: tuple[str, ...], tiny: Protocol) -> None:
    asked(tiny, variant, base, shots, *overrides, **ONE_PIXEL)


def test_last_batches() -> None:
    assert [last_batch(images, 4) for images in (1, 4, 5, 7, 8)] == [1, 4, 1, 3, 4]
    assert last_batch(5, 1) == 1


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("resnet18", 33), ("resnet20", 4), ("resnet20", 5), ("conv4", 16)])
def test_the_check_without_computing_agrees_with_torch(name: str, size: int) -> None:
    network = BACKBONES[name](3).train()
    try:
        network(torch.zeros(1, 3, size, size))
        said = ""
    except ValueError as error:
        said = explained(error)
    assert needs_two_images(name, 3, size, "train") == bool(said)
    assert not said or said.startswith("batch norm cannot train on a batch of one image; change")
