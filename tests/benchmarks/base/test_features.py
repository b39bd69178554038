"""The file of stored features: those that would be computed anew, bit for bit, never another network's or other images'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.base.features import BaseFeatures, embed_all, state_sha256
from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import write_tensors
from benchmarks.data.transforms import Transform
from protocols.schema import Augment, Data
from tests.benchmarks.base.conftest import KEY, Scene, forbid_embedding


def same(a: BaseFeatures, b: BaseFeatures) -> bool:
    tests = a.test.keys() == b.test.keys() and all(torch.equal(a.test[number], b.test[number]) for number in a.test)
    return tests and a.key == b.key and torch.equal(a.train.indices, b.train.indices) and torch.equal(a.train.features, b.train.features)


def test_they_are_those_of_plain_images_in_the_splits_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Un-augmented; computed and read again alike, and nothing is learnt meanwhile."""
    before = state_sha256(scene.network)
    first = scene.features()
    assert state_sha256(scene.network) == before
    assert not first.train.features.requires_grad
    with monkeypatch.context() as patched:
        forbid_embedding(patched)
        read = scene.features()
    assert same(first, read)
    assert torch.equal(read.train.indices, torch.from_numpy(scene.split.train[0]))
    assert torch.equal(read.train.features, scene.anew(scene.tensors.plain, scene.split.train[0]))
    assert read.train.features.dtype == torch.float32
    assert list(read.test) == [0, 1, 2]
    for number, rows in enumerate(scene.split.test):
        assert torch.equal(read.test[number], scene.anew(scene.tensors.test, rows))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "another base's", "another kind"])
def test_a_damaged_or_foreign_file_is_made_anew(damage: str, scene: Scene) -> None:
    """A flipped bit would go unseen into every method's prototypes."""
    first = scene.features()
    [path] = scene.files
    content = path.read_bytes()
    if damage == "another base's":
        scene.network.backbone.get_parameter("blocks.0.weight").data.neg_()
        scene.features(BaseKey({"what": "another"}))
        scene.network.backbone.get_parameter("blocks.0.weight").data.neg_()
        [other] = set(scene.files) - {path}
        other.replace(path)
    elif damage == "another kind":
        write_tensors(path, KEY, {"train": first.train.features, **{f"test{number}": value for number, value in first.test.items()}})
    else:
        place = len(content) - 40
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes({"truncated": content[:-10], "flipped": flipped, "empty": b""}[damage])
    assert path.read_bytes() != content
    assert same(scene.features(), first)
    assert path.read_bytes() == content


def test_a_fitting_number_is_embedded_at_once() -> None:
    """Not all of them, and not one by one; images keep their order."""
    calls: list[int] = []

    def embed(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x[:, 0, 0]

    transform = Transform(Data(source="digits", size=32, channels=1, mean=(0.3,), std=(0.4,)), Augment(pad=4))
    images = torch.randint(0, 256, (310, 1, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    indices = torch.arange(300).flip(0) + 5
    assert torch.equal(embed_all(embed, images, indices, transform), transform.normalise(images[indices])[:, 0, 0])
    assert 1 < len(calls) < 30


def changed_weight(scene: Scene) -> Scene:
    scene.network.backbone.get_parameter("blocks.4.weight").data[3, 2, 1, 0] += 0.5
    return scene


def changed_statistic(scene: Scene) -> Scene:
    scene.network.backbone.get_buffer("blocks.1.running_mean")[5] += 0.5
    return scene


def changed_test(scene: Scene) -> Scene:
    """As many test images as before, one of them another."""
    last = scene.split.test[2].copy()
    last[0] = scene.split.test[0][0]
    return replace(scene, split=replace(scene.split, test=(*scene.split.test[:2], last)))


def moved_test(scene: Scene) -> Scene:
    """The same images in all, but one in another session."""
    first, second, last = scene.split.test
    return replace(scene, split=replace(scene.split, test=(first, np.append(second, last[0]), last[1:])))


@pytest.mark.parametrize("change", [changed_weight, changed_statistic, changed_test, moved_test])
def test_another_backbone_or_other_test_images_have_a_file_of_their_own(change: Callable[[Scene], Scene], scene: Scene) -> None:
    first = scene.features()
    [path] = scene.files
    content = path.read_bytes()
    other = change(scene)
    second = other.features()
    assert len(scene.files) == 2
    assert path.read_bytes() == content
    assert torch.equal(second.train.features, other.anew(other.tensors.plain, other.split.train[0]))
    for number, rows in enumerate(other.split.test):
        assert torch.equal(second.test[number], other.anew(other.tensors.test, rows))
    assert not same(first, second)


def test_bases_of_another_key_have_a_file_of_their_own(scene: Scene) -> None:
    """Images, training rows and arithmetic stand in the base's key alone."""
    scene.features()
    scene.features(BaseKey({"what": "another"}))
    assert len(scene.files) == 2


def test_another_head_is_the_same_backbone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.features()
    scene.network.head.grow(2)
    forbid_embedding(monkeypatch)
    scene.features()


def test_a_hash_of_a_state_is_of_names_and_values() -> None:
    """Whether a parameter is trained, or how it lies in memory, is no part of what a network computes."""
    one = nn.BatchNorm2d(3)
    whole = state_sha256(one)
    one.weight.requires_grad_(False)
    assert state_sha256(one) == whole
    one.bias.data[1] = 1.0
    assert state_sha256(one) != whole
    conv = nn.Conv2d(2, 4, 3)
    plain = state_sha256(conv)
    assert state_sha256(conv.to(memory_format=torch.channels_last)) == plain  # type: ignore[call-overload]
    assert state_sha256(nn.Sequential(conv)) != plain
