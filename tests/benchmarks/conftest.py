"""Records made by hand: numbers that a test knows without running anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.data.splits import order_sha256
from benchmarks.records.costs import Costs
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record, SessionResult

TITLES = {"base_only": "BaseOnly", "ft_cnn": "Ft-CNN", "lecnet": "LEC-Net", "proto": "Proto"}
IMAGES = 10  # test images a class
SESSIONS = {"base": 2, "way": 1, "count": 2, "shots": 5}

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]


@pytest.fixture
def make_identity() -> MakeIdentity:
    """An identity of a protocol `hand`: two base classes, then two sessions of one class. Keywords replace its fields."""

    def make(variant: str = "lecnet:paper", seed: int = 0, **changes: Any) -> Identity:
        method, _, preset = variant.partition(":")
        fields: dict[str, Any] = {
            "suite": 1,
            "protocol": "hand",
            "data": {"source": "digits", "size": 8},
            "augment": {"pad": 1},
            "sessions": SESSIONS,
            "backbone": {"name": "conv2", "pretrained": None},
            "recipe": "quick",
            "recipe_settings": {"epochs": 2, "lr": 0.1},
            "split": "paper",
            "method": method,
            "preset": preset,
            "overrides": {},
            "config": {"lr": 0.01, "gamma": 0.8, "milestones": [3, 5]},
            "version": 1,
            "base": "linear",
            "seed": seed,
        }
        return Identity.model_validate({**fields, **changes})

    return make


@pytest.fixture
def make_record(make_identity: MakeIdentity) -> MakeRecord:
    """A record whose sessions have the given right answers a class, out of ten test images each."""

    def make(
        variant: str = "lecnet:paper",
        seed: int = 0,
        correct: Sequence[Sequence[int]] = ((8, 8), (7, 7, 4), (6, 6, 3, 1)),
        logs: Sequence[dict[str, float]] = ({}, {}, {}),
        images_kept: int = 0,
        parameters_added: int = 0,
        **changes: Any,
    ) -> Record:
        identity = make_identity(variant, seed, **changes)
        order = tuple(reversed(range(identity.sessions.classes)))
        return Record(
            title=TITLES.get(identity.method, identity.method),
            identity=identity,
            order=order,
            order_sha256=order_sha256(order),
            rows_sha256="b" * 64,
            images_sha256="c" * 64,
            environment={"device": "x86_64", "precision": "fp32", "threads": 1, "torch": "2.11.0"},
            selection="last",
            memory_budget=0,
            sessions=tuple(
                SessionResult(
                    correct=tuple(right),
                    total=(IMAGES,) * len(right),
                    images_kept=images_kept,
                    parameters_added=parameters_added * number,
                    numbers_kept=0,
                    log=log,
                )
                for number, (right, log) in enumerate(zip(correct, logs, strict=True))
            ),
            predictions_sha256=f"{seed:064x}",
        )

    return make


@pytest.fixture
def costs() -> Costs:
    return Costs(
        base_seconds=2.0, session_seconds=(0.1, 0.2, 0.3), evaluation_seconds=(0.1, 0.1, 0.2), peak_memory_mib=64.0, commit="f" * 40
    )
