"""Records made by hand: numbers that a test knows without running anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.records.costs import Costs
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record, SessionResult
from benchmarks.records.stated import stated_presets
from benchmarks.system.hashes import order_sha256
from protocols.schema import Protocol

TITLES = {"base_only": "BaseOnly", "ft_cnn": "Ft-CNN", "lecnet": "LEC-Net", "proto": "Proto"}
IMAGES = 10  # test images a class
SETTINGS: dict[str, Any] = {
    "data": {"source": "digits", "size": 8, "channels": 1, "mean": [0.3], "std": [0.4]},
    "augment": {"pad": 1},
    "sessions": {"base": 2, "way": 1, "count": 2, "shots": 5},
    "backbone": {"name": "conv2", "pretrained": None},
}
"""Of the protocol `hand` and of its records."""
BASE = {"epochs": 2, "lr": 0.1}
CONFIG = {"lr": 0.01, "gamma": 0.8, "milestones": [3, 5]}

MakeIdentity = Callable[..., Identity]
MakeRecord = Callable[..., Record]


@pytest.fixture
def hand() -> Protocol:
    """The protocol whose records `make_record` makes: they have the settings of its file."""
    content = {"name": "hand", "title": "By hand", "notes": "Nobody ran this.", "splits": ["paper", "canonical-order"]}
    return Protocol.model_validate({**content, **SETTINGS, "recipe": "quick", "recipes": {"quick": BASE, "slow": BASE}})


@pytest.fixture
def make_identity() -> MakeIdentity:
    """An identity of a protocol `hand`: two base classes, then two sessions of one class. Keywords replace its fields.

    Parameters have the values of CONFIG and of the method's preset; others than these are no defaults.
    """

    def make(variant: str = "lecnet:paper", seed: int = 0, **changes: Any) -> Identity:
        method, _, preset = variant.partition(":")
        config = {**CONFIG, **(stated_presets(method) or {}).get(preset, {}), **changes.get("overrides", {})}
        config = changes.get("config", config)
        fields: dict[str, Any] = {
            "suite": 1,
            "protocol": "hand",
            **SETTINGS,
            "recipe": "quick",
            "recipe_settings": BASE,
            "split": "paper",
            "method": method,
            "preset": preset,
            "overrides": {},
            "config": config,
            "defaults": [key for key in config if CONFIG.get(key) == config[key]],
            "version": 1,
            "base": "linear",
            "seed": seed,
            "images": "c" * 64,
            "precision": "fp32",
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
            environment={"device": "x86_64", "precision": str(identity.precision), "threads": 1, "torch": "2.11.0"},
            selection=identity.selection,
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
