"""What a strategy may touch, and what Avalanche is told."""

from __future__ import annotations

import pytest
import torch

from benchmarks.data.batches import Batches
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.runner import Contender, Runner
from benchmarks.system.settings import Settings
from methods.contract.memory import LeakError
from protocols.schema import Protocol


@pytest.fixture
def contender(tiny: Protocol, settings: Settings) -> Contender:
    return Runner(tiny, settings).enter(identities(make_request(tiny, None, None, "0", "ft_cnn", []))[0])


def test_experiences_carry_the_split(contender: Contender, tiny: Protocol) -> None:
    """Each is the last of its stream: it leads to no later session, and to no test images."""
    assert len(contender.seed_context.experiences) == 3
    for session, experience in enumerate(contender.seed_context.experiences):
        stream = experience.origin_stream
        assert (stream.name, len(stream)) == ("train", session + 1)
        assert stream.benchmark is None
        assert experience.future_classes == set()
        assert list(experience.dataset.image_index) == contender.seed_context.split.train[session].tolist()
        assert set(experience.classes_in_this_experience) == set(tiny.sessions.span(session))
        assert experience.current_experience == session
        rows = torch.from_numpy(contender.seed_context.split.train[session])
        assert list(experience.dataset.targets) == contender.seed_context.tensors.labels[rows].tolist()


def test_images_of_other_sessions_are_refused(contender: Contender) -> None:
    """Past shots that are not in memory, and future classes, are out of reach."""
    splits = [torch.from_numpy(rows) for rows in contender.seed_context.split.train]
    contender.open(1)
    assert len(contender.images.labels(splits[1])) == 10
    for other in (splits[0][:3], splits[2], torch.cat([splits[1], splits[2][:1]])):
        for ask in (contender.images.plain, contender.images.labels, lambda rows: contender.images.batches(rows, 4, "x")):
            with pytest.raises(LeakError, match="outside this session and its memory"):
                ask(other)


def test_images_in_memory_are_granted(contender: Contender) -> None:
    splits = [torch.from_numpy(rows) for rows in contender.seed_context.split.train]
    seed_context = contender.seed_context
    contender.memory.budget = 3
    contender.open(0)
    contender.memory.keep(splits[0][[3, 0, 2]])
    contender.open(1)
    mixed = torch.cat([splits[1][4:6], splits[0][[2, 3, 0]], splits[1][:1]])
    assert torch.equal(contender.images.plain(mixed), seed_context.evaluator.transform.normalise(seed_context.tensors.plain[mixed]))
    assert contender.images.labels(mixed).tolist() == seed_context.tensors.labels[mixed].tolist()
    (batch,) = contender.images.batches(mixed, len(mixed), "x")
    (whole,) = Batches(seed_context.tensors.train, seed_context.tensors.labels, mixed, seed_context.evaluator.transform, len(mixed), 0, "x")
    assert all(torch.equal(here, there) for here, there in zip(batch, whole, strict=True)), "where the images stand changes no draw"


def test_labels_are_positions_in_the_order_of_arrival(contender: Contender) -> None:
    """Trap 3: label k is the k-th class of the order, on both sides."""
    seed_context = contender.seed_context
    for label, number in enumerate(seed_context.split.order):
        assert set(seed_context.images.train_classes[(seed_context.tensors.labels == label).numpy()].tolist()) == {number}
        assert set(seed_context.images.test_classes[(seed_context.tensors.test_labels == label).numpy()].tolist()) == {number}


def test_memory_takes_only_what_the_session_shows(contender: Contender) -> None:
    """Images of a later session cannot be had by keeping them, nor those dropped be had back."""
    splits = [torch.from_numpy(rows) for rows in contender.seed_context.split.train]
    contender.memory.budget = None
    contender.open(0)
    with pytest.raises(LeakError):
        contender.memory.keep(splits[2])
    contender.memory.keep(splits[0][:3])
    contender.open(1)
    contender.memory.drop(splits[0][:1])
    with pytest.raises(LeakError):
        contender.memory.keep(splits[0][:1])
    assert contender.memory.indices.tolist() == sorted(splits[0][1:3].tolist())
