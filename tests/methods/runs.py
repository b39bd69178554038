"""Running a method on the tiny protocol, session by session, under a test's eyes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.running.runner import Contender
from methods.contract.registry import read_entry
from protocols.schema import Protocol
from tests.methods.by_hand import label_loss_of, plain

LISTED = json.loads((Path(__file__).resolve().parents[1] / "data" / "defaults.json").read_text())
SHIPPED = tuple(sorted(owner.rpartition("/")[2] for owner in LISTED if owner.startswith("methods/") and "/bases/" not in owner))
"""The suite's own methods, whose defaults are listed. A user's may stand beside them, and is asked no more than the contract says."""
ON_IMAGES = tuple(name for name in SHIPPED if read_entry(name).needs != "texts")
"""Those that run on images; tests/methods/test_bimc.py asks the same of who needs text vectors."""
VARIANTS = [f"{name}:{preset}" for name in ON_IMAGES for preset in read_entry(name).presets]

Enter = Callable[..., Contender]  # (variant, *overrides), of conftest.py as `Run` is
Run = Callable[..., Record]
Spy = TypeVar("Spy", bound=SupervisedPlugin)


def identity_of(protocol: Protocol, variant: str, *overrides: str, seed: int = 0) -> Identity:
    """Of a variant with overrides `field=value` of its method."""
    texts = [f"{variant.partition(':')[0]}.{text}" for text in overrides]
    return identities(make_request(protocol, None, None, str(seed), variant, texts))[0]


def batch_features(network: Any, strategy: Any) -> Tensor:
    """A network's features of the strategy's batch, which holds images, or what the part below the last block made of them."""
    return network.embed_upper(strategy.mb_x) if strategy.has_frozen_part else network.embed(strategy.mb_x)


def train_all(contender: Contender, sessions: int = 3) -> Contender:
    for session in range(sessions):
        contender.train(session, 0)
    return contender


def train_under(contender: Contender, session: int, spy: Spy) -> Spy:
    """Train one session with a plugin attached."""
    contender.strategy.plugins.append(spy)
    contender.train(session, 0)
    contender.strategy.plugins.remove(spy)
    return spy


class Start(SupervisedPlugin):
    """A copy of the network when its head has grown and nothing is trained yet."""

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = None

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.network = self.network or copy.deepcopy(strategy.model)


class Optimizers(SupervisedPlugin):
    """The optimiser of the last epoch; the strategy's own dies with the session."""

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.last: Any = strategy.optimizer


def before_loss(monkeypatch: pytest.MonkeyPatch, method: Any, observe: Callable[[Any], object]) -> None:
    """Call `observe(strategy)` before every session_loss, which moves batch-norm statistics."""
    original = method.session_loss

    def session_loss(self: Any) -> Tensor:
        observe(self)
        return original(self)

    monkeypatch.setattr(method, "session_loss", session_loss)


def after_loss(monkeypatch: pytest.MonkeyPatch, method: Any, observe: Callable[[Any, Tensor], object]) -> None:
    """Call `observe(strategy, loss)` after every session_loss."""
    original = method.session_loss

    def session_loss(self: Any) -> Tensor:
        loss = original(self)
        observe(self, loss)
        return loss

    monkeypatch.setattr(method, "session_loss", session_loss)


def gradients_beside(
    contender: Contender, monkeypatch: pytest.MonkeyPatch, term: Callable[[Tensor, Tensor], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Train session 1; (gradient of the loss less the shots' cross-entropy, that of `term(features now, features before the session)` of
    the kept images) of every step, both for the last block's first parameter."""
    old, seen = copy.deepcopy(contender.strategy.model).eval(), []

    def observe(strategy: Any, loss: Tensor) -> None:
        images, twin = plain(contender, contender.memory.indices), copy.deepcopy(strategy.model)
        with torch.no_grad():
            before = old.embed(images)
        live, own = next(strategy.model.backbone.last_block.parameters()), next(twin.backbone.last_block.parameters())
        (expected,) = torch.autograd.grad(term(twin.embed(images), before), own)
        (found,) = torch.autograd.grad(loss - label_loss_of(strategy.mb_output, strategy.mb_y), live, retain_graph=True)
        seen.append((found, expected))

    after_loss(monkeypatch, type(contender.strategy), observe)
    contender.train(1, 0)
    return seen


def losses_beside(
    contender: Contender, monkeypatch: pytest.MonkeyPatch, expected: Callable[[Any, Any], float], sessions: int = 3
) -> list[tuple[float, float]]:
    """Train; (loss, `expected(strategy, network before the session)`) of every step."""
    method = type(contender.strategy)
    values: list[float] = []
    losses: list[float] = []
    old: list[Any] = []
    before_loss(monkeypatch, method, lambda strategy: values.append(expected(strategy, old[-1])))
    after_loss(monkeypatch, method, lambda strategy, loss: losses.append(float(loss.detach())))
    for session in range(sessions):
        old.append(copy.deepcopy(contender.strategy.model).eval())
        contender.train(session, 0)
    return list(zip(losses, values, strict=True))
