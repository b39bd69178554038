"""Stored features: those that would be computed anew, bit for bit, never another network's or other images', and out of nobody's reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.base.features import BaseFeatures, base_features, embed_all, state_sha256
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, kind_of, to_fast_layout
from benchmarks.base.tensors import write_tensors
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform
from benchmarks.records.reading import to_json
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.images import SessionImages
from benchmarks.running.runner import Runner
from methods.contract.memory import LeakError, Memory
from methods.parts.expansion import window_means
from methods.parts.network import Network
from protocols.schema import Augment, Data, Protocol
from tests.methods.runs import identity_of

KEY = BaseKey({"what": "a base"})
CPU = torch.device("cpu")

Break = Callable[[Network], object]


@dataclass(frozen=True)
class Scene:
    """A small network and images that are all different, training images under both transforms too."""

    folder: Path
    network: Network
    tensors: Tensors
    split: Split
    transform: Transform

    def features(self, key: BaseKey = KEY) -> BaseFeatures:
        return base_features(self.folder, key, self.network, self.tensors, self.split, self.transform)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.features"))

    def anew(self, images: Tensor, rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            return self.network.embed(self.transform.normalise(images[torch.from_numpy(rows)]))


@pytest.fixture
def scene(tiny: Protocol, tmp_path: Path) -> Scene:
    generator = torch.Generator().manual_seed(2)
    train, plain, test = (torch.randint(0, 256, (60, 1, 8, 8), generator=generator, dtype=torch.uint8) for _ in range(3))
    labels = torch.arange(60) % 10
    rows = [np.flatnonzero(np.isin(labels.numpy(), classes)) for classes in (range(6), [6, 7], [8, 9])]
    split = Split("paper", tuple(range(10)), 6, tuple(part[::-1].copy() for part in rows), tuple(rows))
    network = to_fast_layout(build_network(tiny, kind_of("linear"), "fp32", 0, None, 1.0).eval(), CPU)
    data = Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,))
    transform = Transform(data, Augment(pad=1, flip=True, jitter=0.3))
    return Scene(
        tmp_path / "base", network, Tensors(train=train, plain=plain, labels=labels, test=test, test_labels=labels), split, transform
    )


def same(a: BaseFeatures, b: BaseFeatures) -> bool:
    tests = a.test.keys() == b.test.keys() and all(torch.equal(a.test[number], b.test[number]) for number in a.test)
    return tests and a.key == b.key and torch.equal(a.train.indices, b.train.indices) and torch.equal(a.train.features, b.train.features)


def forbid_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(self: Network, images: Tensor) -> Tensor:
        raise AssertionError(f"{len(images)} images embedded again")

    monkeypatch.setattr(Network, "embed", embed)


# The file -----------------------------------------------------------------------------------------------------------------


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


# Who gets them ------------------------------------------------------------------------------------------------------------


def images_of(scene: Scene, memory: Memory, base: BaseFeatures | None) -> SessionImages:
    """What the runner shows in the session that the memory stands in."""
    images = SessionImages(scene.transform, memory, 0)
    images.show(torch.unique(torch.cat([memory._session, memory.indices])), scene.tensors, None if base is None else base.train)
    return images


def session(scene: Scene, number: int, budget: int | None = 0) -> Memory:
    memory = Memory(budget)
    memory.open(torch.from_numpy(scene.split.train[number]))
    return memory


def test_the_base_session_is_given_them(scene: Scene) -> None:
    """Its images in their order, whatever the head; none where none are stored."""
    stored, rows = scene.features(), torch.from_numpy(scene.split.train[0])
    scene.network.head.grow(2)
    found = images_of(scene, session(scene, 0), stored).stored_features(rows, scene.network)
    assert found is not None
    assert torch.equal(found, scene.anew(scene.tensors.plain, scene.split.train[0]))
    assert images_of(scene, session(scene, 0), None).stored_features(rows, scene.network) is None


def test_who_writes_into_them_spoils_them_for_nobody(scene: Scene) -> None:
    images, rows = images_of(scene, session(scene, 0), scene.features()), torch.from_numpy(scene.split.train[0])
    first, second = (images.stored_features(rows, scene.network) for _ in range(2))
    assert first is not None
    assert second is not None
    first.zero_()
    assert torch.equal(second, scene.anew(scene.tensors.plain, scene.split.train[0]))


@pytest.mark.parametrize("pick", [lambda rows: rows[:-1], lambda rows: rows.flip(0), lambda rows: rows[:0], lambda rows: rows.repeat(2)])
def test_other_rows_are_not_answered(pick: Callable[[Tensor], Tensor], scene: Scene) -> None:
    """Fewer images, or the same in another order."""
    images = images_of(scene, session(scene, 0), scene.features())
    assert images.stored_features(pick(torch.from_numpy(scene.split.train[0])), scene.network) is None


def one_weight(network: Network) -> None:
    weight = network.backbone.get_parameter("blocks.4.weight").data
    weight[7, 6, 2, 1] = torch.nextafter(weight[7, 6, 2, 1], torch.tensor(torch.inf))


def one_statistic(network: Network) -> None:
    network.backbone.get_buffer("blocks.1.running_var")[0] *= 1.001


def nine_windows(network: Network) -> None:
    network.pool = window_means


def other_precision(network: Network) -> None:
    network.precision = "bf16"


@pytest.mark.parametrize("change", [one_weight, one_statistic, nine_windows, other_precision])
def test_a_changed_backbone_is_not_answered(change: Break, scene: Scene) -> None:
    """By one bit of one weight, by a statistic, in what is taken of its last map, or in its arithmetic."""
    images = images_of(scene, session(scene, 0), scene.features())
    change(scene.network)
    assert images.stored_features(torch.from_numpy(scene.split.train[0]), scene.network) is None


def test_the_base_sessions_features_are_out_of_reach_once_it_is_over(tiny: Protocol, runner: Runner) -> None:
    """Features of images are images: from session 1 on nobody is handed them, not even who keeps all of those images."""
    contender = runner.enter(identity_of(tiny, "joint_cnn"))
    rows = torch.from_numpy(contender.seed_context.split.train[0])
    contender.open(0)
    assert contender.images.stored_features(rows, contender.strategy.model) is not None
    contender.memory.keep(rows)
    contender.open(1)
    assert contender.images.stored_features(rows, contender.strategy.model) is None
    contender.memory.drop(rows[:1])
    with pytest.raises(LeakError, match="outside this session and its memory"):
        contender.images.stored_features(rows, contender.strategy.model)


# Whole runs ---------------------------------------------------------------------------------------------------------------


def record_bytes(runner: Runner, variant: str) -> tuple[bytes, bytes]:
    record, _, predictions = runner.run(identity_of(runner.protocol, variant))
    return to_json(record.model_dump(mode="json")), predictions


@pytest.mark.parametrize("variant", ["proto", "topic", "icarl:original"])
def test_a_record_does_not_tell_whether_they_were_stored(
    variant: str, tiny: Protocol, runner: Runner, data_root: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed now, read, or left out altogether, training and test side: the same bytes."""
    given: list[bool] = []
    whole = SessionImages.stored_features

    def stored_features(self: SessionImages, rows: Tensor, network: Network) -> Tensor | None:
        found = whole(self, rows, network)
        given.append(found is not None)
        return found

    for path in results.rglob("*.features"):
        path.unlink()
    monkeypatch.setattr(SessionImages, "stored_features", stored_features)
    now = record_bytes(runner, variant)
    assert list(results.rglob("*.features"))
    assert record_bytes(Runner(tiny, runner.settings), variant) == now
    assert sum(given) == 2, "in the base session of both runs"
    monkeypatch.setattr(SessionImages, "stored_features", lambda self, rows, network: None)
    assert record_bytes(Runner(tiny, runner.settings), variant) == now
    monkeypatch.setattr(Evaluator, "remember", lambda self, base, outputs: None)
    assert record_bytes(Runner(tiny, runner.settings), variant) == now


def test_a_method_is_given_the_bits_that_it_would_compute(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is given none in training mode, where batch norm would make others of them, or with an embedding of its own."""
    contender = runner.enter(identity_of(runner.protocol, "proto"))
    contender.train(0, 0)
    strategy, rows = contender.strategy, torch.from_numpy(contender.seed_context.split.train[0])
    with monkeypatch.context() as patched:
        forbid_embedding(patched)
        given = strategy.embed_indices(rows)
        strategy.model.train()
        with pytest.raises(AssertionError, match="embedded again"):
            strategy.embed_indices(rows)
        strategy.model.eval()

    class Own(type(strategy)):  # type: ignore[misc]
        def embed(self, images: Tensor) -> Tensor:
            return 2 * super().embed(images)

    strategy.__class__ = Own
    with torch.no_grad():
        assert torch.equal(strategy.embed_indices(rows), 2 * given)


def test_test_images_are_never_embedded_under_an_unchanged_base(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """BaseOnly embeds nothing at all, in no session; its predictions are those of images embedded now."""
    contender = runner.enter(identity_of(runner.protocol, "base_only"))
    seed_context = contender.seed_context
    fresh = Evaluator(seed_context.tensors, seed_context.split, runner.transform)
    for number in range(3):
        with monkeypatch.context() as patched:
            forbid_embedding(patched)
            contender.train(number, 0)
            found = seed_context.evaluator.evaluate(contender.strategy, number)
        anew = fresh.evaluate(contender.strategy, number)
        assert np.array_equal(found.predictions, anew.predictions)
        assert (found.correct, found.total) == (anew.correct, anew.total)


def test_each_base_brings_its_own_test_features(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bases in turn, in one seed_context: `projected` trains another backbone, and each method is judged on its own."""
    found = {}
    for variant in ("base_only", "lecnet:code", "base_only", "lecnet:code"):
        contender = runner.enter(identity_of(runner.protocol, variant))
        contender.train(0, 0)
        with monkeypatch.context() as patched:
            forbid_embedding(patched)
            remembered = contender.seed_context.evaluator.evaluate(contender.strategy, 0)
        anew = Evaluator(contender.seed_context.tensors, contender.seed_context.split, runner.transform).evaluate(contender.strategy, 0)
        assert np.array_equal(remembered.predictions, anew.predictions)
        found[variant] = remembered.predictions.tolist()
    assert found["base_only"] != found["lecnet:code"]


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
