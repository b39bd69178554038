"""Stored features in a run: the bits that would be computed, given to the base session alone, and out of reach after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.base.features import BaseFeatures
from benchmarks.records.reading import to_json
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.images import SessionImages
from benchmarks.running.runner import Runner
from methods.contract.memory import LeakError, Memory
from methods.parts.expansion import window_means
from methods.parts.network import Network
from protocols.schema import Protocol
from tests.benchmarks.base.conftest import Scene, forbid_embedding
from tests.methods.runs import identity_of

Break = Callable[[Network], object]


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
