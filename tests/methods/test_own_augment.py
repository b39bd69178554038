"""An augmentation that a method or a base kind brings; one that changes nothing shows images as they are tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.base.model import BaseSessions
from benchmarks.data.tensors import DeviceImages, Tensors
from benchmarks.data.transforms import Transform, brought
from benchmarks.running.images import SessionImages
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.contract.loading import load_base_kind
from methods.contract.memory import Memory
from protocols import load_protocol
from protocols.schema import Augment, Protocol
from tests.methods.runs import identity_of

NUMBERS = torch.arange(6)


@pytest.fixture
def protocol() -> Protocol:
    """CUB's: training images are stored larger than they are shown."""
    tiny = load_protocol("cub200").model_dump() | {"title": "small"}
    tiny["data"] |= {"size": 8, "train_size": 12}
    return Protocol.model_validate(tiny)


@pytest.fixture
def tensors() -> Tensors:
    """Six images, each of one level; as they are tested, of another."""
    train, plain = ((NUMBERS * 10 + of).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side) for of, side in ((0, 12), (5, 8)))
    return Tensors(train=train, plain=plain, test=plain, labels=NUMBERS, test_labels=NUMBERS)


def shown(transform: Transform, tensors: Tensors) -> set[float]:
    """Levels, from 0 to 255, of what a session's batches hold."""
    memory = Memory(0)
    memory.open(NUMBERS)
    images = SessionImages(transform, memory, 0)
    images.show(NUMBERS, tensors)
    [batch] = [x for x, *_ in images.batches(NUMBERS, 6, "session1")]
    assert batch.shape == (6, 3, 8, 8)
    mean, std = (torch.tensor(of).view(1, -1, 1, 1) for of in (transform.data.mean, transform.data.std))
    levels = (batch * std + mean) * 255
    assert torch.allclose(levels.amax(dim=(1, 2, 3)), levels.amin(dim=(1, 2, 3)), atol=1e-3)
    return {round(float(level)) for level in levels[:, 0, 0, 0]}


def test_without_augmentation_a_session_shows_images_as_they_are_tested(protocol: Protocol, tensors: Tensors) -> None:
    assert shown(brought(protocol.data, Augment()), tensors) == {5, 15, 25, 35, 45, 55}
    assert shown(brought(protocol.data, Augment(flip=True)), tensors) == {0, 10, 20, 30, 40, 50}
    assert shown(Transform(protocol.data, Augment()), tensors) == {0, 10, 20, 30, 40, 50}  # the protocol's: a random window, no more


@pytest.mark.parametrize(("kind", "room"), [("episodes", [0]), ("linear", [4]), ("closer", [4, 4, 4])])
def test_so_does_a_base_session(protocol: Protocol, tmp_path: Path, kind: str, room: list[int]) -> None:
    """CEC's episodes are of images as they are tested; other kinds have the protocol's random window."""
    cls = load_base_kind(kind)
    transforms = BaseSessions(protocol, tmp_path, torch.device("cpu"), None).transforms(cls(cls.Config()))
    assert [transform.room for transform in transforms] == room


@pytest.mark.parametrize(("method", "as_tested"), [("nc_fscil", True), ("ft_cnn", False)])
def test_a_run_gives_its_method_such_images(
    tiny: Protocol, write_images: Callable[[Path, dict[str, NDArray[np.uint8]]], None], tmp_path: Path, method: str, as_tested: bool
) -> None:
    draw = np.random.default_rng(0)
    names = [f"{part}/{of}/{number}.png" for part, count in (("train", 8), ("test", 2)) for of in range(10) for number in range(count)]
    write_images(tmp_path / "mine", {name: draw.integers(0, 256, (12, 12), dtype=np.uint8) for name in names})
    data = tiny.data.model_copy(update={"source": "folder", "path": "mine", "train_size": 12})
    own = tiny.model_copy(update={"data": data})
    contender = Runner(own, Settings(tmp_path, tmp_path / "results", "cpu", 1)).enter(identity_of(own, method))
    contender.open(1)
    [batch] = [x for x, *_ in contender.images.batches(contender.shown, 100, "session1")]
    found, plain = ({tuple(image.flatten().tolist()) for image in images} for images in (batch, contender.images.plain(contender.shown)))
    assert len(found) == 10 and (found == plain) is as_tested


def test_which_images_a_transform_takes(protocol: Protocol) -> None:
    here = DeviceImages(train=torch.zeros(1, 3, 12, 12), plain=torch.zeros(1, 3, 8, 8), test=torch.zeros(1, 3, 8, 8))
    assert here.under(protocol.data) is here.train
    assert here.under(brought(protocol.data, Augment()).data) is here.plain
