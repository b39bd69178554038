"""selection: val: epochs found on left-out shots and held-out base images, then a second training on all (docs/methods.md 1.7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.base.features import state_sha256
from benchmarks.data.images import load_images
from benchmarks.data.splits import folds, make_split
from benchmarks.planning.preflight import check_before_training
from benchmarks.running import runner as running
from benchmarks.running.runner import Contender, Runner
from benchmarks.running.validation import epochs_by_validation
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.methods.conftest import Enter
from tests.methods.runs import identity_of


def test_every_shot_is_left_out_once() -> None:
    indices, labels = np.arange(100, 110), np.array([7, 8] * 5)
    found = folds(indices, labels)
    assert [sorted(fold.tolist()) for fold in found] == [[100 + 2 * k, 101 + 2 * k] for k in range(5)]
    many = folds(np.arange(46), np.repeat([0, 1], 23))
    assert len(many) == 5 and sorted(np.concatenate(many).tolist()) == list(range(46))


def test_a_class_of_one_shot_and_what_batches_are_left_are_said_before_training(tiny: Protocol, settings: Settings) -> None:
    """One shot cannot be left out and trained on; and the base session is a tenth smaller, so other batch sizes leave a single image."""
    one = tiny.model_copy(update={"sessions": tiny.sessions.model_copy(update={"shots": 1})})
    with pytest.raises(DataError, match=r"selection val leaves images of every class out, and class \d+ has one in session 1"):
        check_before_training(one, [identity_of(one, "ft_cnn", "selection=val")], settings)
    small = tiny.model_copy(
        update={"backbone": tiny.backbone.model_copy(update={"name": "resnet20"}), "data": tiny.data.model_copy(update={"size": 4})}
    )
    images = load_images(small.data, settings.data_root)
    split = make_split(small, "paper", 0, images.train_classes, images.test_classes, images.keys)
    every, fewer = len(split.train[0]), len(split.without_held_out(images.train_classes, 0)[0].train[0])
    for batch, refused in ((every - 1, "last"), (fewer - 1, "val")):
        recipes = {"fast": small.recipes["fast"].model_copy(update={"batch": batch})}
        protocol = small.model_copy(update={"recipes": recipes})
        for selection in ("last", "val"):
            runs = [identity_of(protocol, "ft_cnn", f"selection={selection}")]
            if selection == refused:
                with pytest.raises(UsageError, match="cannot train on a batch of one image"):
                    check_before_training(protocol, runs, settings)
            else:
                check_before_training(protocol, runs, settings)
    sevens = ["batch=7", "batch_norm=train"]
    check_before_training(small, [identity_of(small, "ft_cnn", *sevens)], settings)  # ten shots: 7 and 3
    with pytest.raises(UsageError, match=r"session 1 .*, in a fold of selection val, has 8 images in batches of 7"):
        check_before_training(small, [identity_of(small, "ft_cnn", *sevens, "selection=val")], settings)


def test_a_tenth_of_each_base_class_is_held_out(tiny: Protocol, runner: Runner) -> None:
    images = runner.images
    split = make_split(tiny, "paper", 0, images.train_classes, images.test_classes, images.keys)
    kept, held = split.without_held_out(images.train_classes, 0)
    assert sorted([*kept.train[0], *held]) == split.train[0].tolist()
    for number in split.order[: split.base_classes]:
        own = int((images.train_classes[split.train[0]] == number).sum())
        assert int((images.train_classes[held] == number).sum()) == own // 10
    assert kept.base_sha256 != split.base_sha256, "another base model"
    assert all(np.array_equal(a, b) for a, b in zip(kept.train[1:], split.train[1:], strict=True))
    assert not np.array_equal(held, split.without_held_out(images.train_classes, 1)[1])


def trained(contender: Contender) -> tuple[list[int | None], str]:
    epochs = []
    for session in range(3):
        contender.train(session, 0)
        epochs.append(contender.strategy.fixed_epochs)
    return epochs, state_sha256(contender.strategy.model)


@pytest.mark.parametrize("variant", ["ft_cnn", "icarl:original", "lecnet:paper"])
def test_no_test_image_is_touched_and_the_second_training_is_an_ordinary_one(
    variant: str, tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test images that are noise change nothing; and without the folds, the same numbers of epochs give the same bytes."""
    asked = [variant] + [f"{key}={value}" for key, value in {"selection": "val", "epochs": 4}.items()]
    if variant.startswith("lecnet"):
        asked.append("max_epochs=12")
    identity = identity_of(tiny, *asked)
    epochs, state = trained(runner.enter(identity))
    assert epochs[0] is None and all(epoch and 1 <= epoch <= 12 for epoch in epochs[1:])
    context = runner.seed_context("paper", 0, True)
    test, labels = context.tensors.test, context.tensors.test_labels
    noisy = replace(context.tensors, test=torch.randint_like(test, 256), test_labels=torch.zeros_like(labels))
    runner._seed_context = (("paper", 0, True), replace(context, tensors=noisy))
    assert trained(runner.enter(identity)) == (epochs, state)
    answers = iter(epochs[1:])
    monkeypatch.setattr(running, "epochs_by_validation", lambda *_: next(answers))
    assert trained(runner.enter(identity)) == (epochs, state)


def test_a_session_may_be_longer_than_the_one_before(enter: Enter) -> None:
    """The length found for session 1 is no limit in the folds of session 2."""
    contender = enter("lecnet:paper", "selection=val", "max_epochs=40", "lr=0.01")
    contender.train(0, 0)
    found = []
    for before in (None, 1):
        contender.strategy.fixed_epochs = before
        contender.open(1)
        found.append(epochs_by_validation(contender, 1, 0))
    assert found[0] == found[1] > 1


def test_lec_nets_rule_decides_in_each_fold(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle fold's length is trained, and the method's own log says so."""
    contender = enter("lecnet:paper", "selection=val", "max_epochs=9")
    contender.train(0, 0)
    lengths = iter([2, 9, 4, 3, 7])
    monkeypatch.setattr("benchmarks.running.validation.trained_without", lambda *_: next(lengths))
    contender.train(1, 0)
    assert contender.strategy.fixed_epochs == 4
    assert contender.strategy.session_log()["epochs"] == 4
