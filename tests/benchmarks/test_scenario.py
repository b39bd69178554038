"""What a strategy may touch, and what Avalanche is told."""

from __future__ import annotations

import pytest
import torch

from benchmarks.data.batches import Batches
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.runner import Entrant, Runner
from benchmarks.system.settings import Settings
from methods.contract.memory import LeakError
from protocols.schema import Protocol


@pytest.fixture
def entrant(tiny: Protocol, settings: Settings) -> Entrant:
    return Runner(tiny, settings).enter(identities(make_request(tiny, None, None, "0", "ft_cnn", []))[0])


def test_experiences_carry_the_split(entrant: Entrant, tiny: Protocol) -> None:
    """Each is the last of its stream: it leads to no later session, and to no test images."""
    assert len(entrant.stage.experiences) == 3
    for session, experience in enumerate(entrant.stage.experiences):
        stream = experience.origin_stream
        assert (stream.name, len(stream)) == ("train", session + 1)
        assert stream.benchmark is None
        assert experience.future_classes == set()
        assert list(experience.dataset.row) == entrant.stage.split.train[session].tolist()
        assert set(experience.classes_in_this_experience) == set(tiny.sessions.span(session))
        assert experience.current_experience == session
        rows = torch.from_numpy(entrant.stage.split.train[session])
        assert list(experience.dataset.targets) == entrant.stage.tensors.labels[rows].tolist()


def test_images_of_other_sessions_are_refused(entrant: Entrant) -> None:
    """Past shots that are not in memory, and future classes, are out of reach."""
    splits = [torch.from_numpy(rows) for rows in entrant.stage.split.train]
    entrant.open(1)
    assert len(entrant.images.labels(splits[1])) == 10
    for other in (splits[0][:3], splits[2], torch.cat([splits[1], splits[2][:1]])):
        for ask in (entrant.images.plain, entrant.images.labels, lambda rows: entrant.images.batches(rows, 4, "x")):
            with pytest.raises(LeakError, match="outside this session and its memory"):
                ask(other)


def test_images_in_memory_are_granted(entrant: Entrant) -> None:
    splits = [torch.from_numpy(rows) for rows in entrant.stage.split.train]
    stage = entrant.stage
    entrant.memory.budget = 3
    entrant.open(0)
    entrant.memory.keep(splits[0][[3, 0, 2]])
    entrant.open(1)
    mixed = torch.cat([splits[1][4:6], splits[0][[2, 3, 0]], splits[1][:1]])
    assert torch.equal(entrant.images.plain(mixed), stage.evaluator.transform.normalise(stage.tensors.plain[mixed]))
    assert entrant.images.labels(mixed).tolist() == stage.tensors.labels[mixed].tolist()
    (batch,) = entrant.images.batches(mixed, len(mixed), "x")
    (whole,) = Batches(stage.tensors.train, stage.tensors.labels, mixed, stage.evaluator.transform, len(mixed), 0, "x")
    assert all(torch.equal(here, there) for here, there in zip(batch, whole, strict=True)), "where the images stand changes no draw"


def test_labels_are_positions_in_the_order_of_arrival(entrant: Entrant) -> None:
    """Trap 3: label k is the k-th class of the order, on both sides."""
    stage = entrant.stage
    for label, number in enumerate(stage.split.order):
        assert set(stage.images.train_classes[(stage.tensors.labels == label).numpy()].tolist()) == {number}
        assert set(stage.images.test_classes[(stage.tensors.test_labels == label).numpy()].tolist()) == {number}


def test_memory_takes_only_what_the_session_shows(entrant: Entrant) -> None:
    """Images of a later session cannot be had by keeping them, nor those dropped be had back."""
    splits = [torch.from_numpy(rows) for rows in entrant.stage.split.train]
    entrant.memory.budget = None
    entrant.open(0)
    with pytest.raises(LeakError):
        entrant.memory.keep(splits[2])
    entrant.memory.keep(splits[0][:3])
    entrant.open(1)
    entrant.memory.drop(splits[0][:1])
    with pytest.raises(LeakError):
        entrant.memory.keep(splits[0][:1])
    assert entrant.memory.rows.tolist() == sorted(splits[0][1:3].tolist())
