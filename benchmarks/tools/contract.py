"""What every method must keep to, whatever it does: one function a promise, each with a message for the method's author.

`run_all.py --check METHOD` runs them (benchmarks/tools/check.py), and tests/methods/test_contract.py runs them for every method.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.base.features import state_sha256
from benchmarks.metrics.accuracy import micro
from benchmarks.records.identity import Identity
from benchmarks.records.reading import to_json
from benchmarks.running import evaluate
from benchmarks.running.contender import Contender
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.contract.hooks import Hooks
from methods.contract.loading import load_method
from methods.contract.strategy import SessionStrategy
from protocols.schema import Protocol

Bytes = tuple[bytes, bytes]
"""Record and predictions of a run."""
STEPS = ("before_epoch", "before_update", "after_update", "finished", "restart", "training_epoch")
"""Hooks in which a method may well change parameters that no optimiser has, such as a moving average."""


class BrokenError(AssertionError):
    """A method does not keep to the contract. The message says what was found and what to do."""


class UnrepeatableError(BrokenError):
    """A run of one seed gives other bytes each time, so that what compares two runs says nothing about its own question."""


@dataclass
class Bench:
    """A method on a small protocol. `make(variant, seed)` gives the identity of a run; `runner` is shared by all checks."""

    protocol: Protocol
    variant: str
    make: Callable[[str, int], Identity]
    runner: Runner
    scratch: Path
    done: dict[str, Bytes] = field(default_factory=dict)

    @cached_property
    def identity(self) -> Identity:
        return self.make(self.variant, 0)

    @property
    def method(self) -> type[SessionStrategy]:
        return load_method(self.identity.method)

    def bytes_of(self, runner: Runner, seed: int = 0) -> Bytes:
        record, _, predictions = runner.run(self.make(self.variant, seed))
        return to_json(record.model_dump(mode="json")), predictions

    @property
    def alone(self) -> Bytes:
        """The run of seed 0, done once."""
        if self.variant not in self.done:
            self.done[self.variant] = self.bytes_of(self.runner)
        return self.done[self.variant]

    def through_sessions(self) -> Iterator[tuple[int, Contender]]:
        """The contender after each session."""
        contender = self.runner.enter(self.identity)
        for session in range(self.identity.sessions.count + 1):
            contender.train(session, self.identity.seed)
            yield session, contender

    def settings(self, results: Path) -> Settings:
        own = self.runner.settings
        return Settings(own.data_root, results, own.device, own.threads, own.compile, own.precision, own.methods_dir)


def runs_through_all_sessions(bench: Bench) -> None:
    first = json.loads(bench.alone[0])["sessions"][0]
    accuracy, chance = micro(first["correct"], first["total"]), 100 / bench.identity.sessions.base
    if accuracy < 1.5 * chance:
        raise BrokenError(
            f"after session 0 its accuracy is {accuracy:.1f} %, hardly more than guessing ({chance:.1f} %): the base model is lost; "
            "adopt() should preserve its accuracy, and after_session() is called for session 0, too"
        )


def same_seed_same_bytes(bench: Bench) -> None:
    if bench.bytes_of(bench.runner) != bench.alone:
        raise UnrepeatableError(
            "a second run of one seed gave other bytes; draw from the global generators alone (the runner seeds them), and keep nothing "
            "outside of self"
        )
    fresh = Runner(bench.protocol, bench.settings(bench.scratch))
    if bench.bytes_of(fresh) != bench.alone:
        raise BrokenError(
            "on a base model that was trained now, not read from its cache, it gave other bytes; a method may rely on self.model alone, "
            "and its base kind on what it is handed and on draws of the global generators (no clock, nothing kept in a class or module)"
        )


def independent_of_what_ran_before(bench: Bench) -> None:
    for other, seed in (("ft_cnn", 1), ("lecnet", 0)):
        bench.runner.run(bench.make(other, seed))
    torch.manual_seed(12345)
    if bench.bytes_of(bench.runner) != bench.alone:
        raise BrokenError(
            "after runs of other methods it gave other bytes; what belongs to a run must be in self, not in a class or module"
        )


def scores_each_image_by_itself(bench: Bench) -> None:
    with other_batch():
        _, small = bench.bytes_of(Runner(bench.protocol, bench.settings(bench.runner.settings.results)))
    if small != bench.alone[1]:
        raise BrokenError(
            "its predictions depend on which test images are scored together; embed() and scores() must judge each image by itself (no "
            "batch norm in training mode, no mean over the batch)"
        )


@contextmanager
def other_batch() -> Iterator[None]:
    """In this context, test images are scored in smaller batches."""
    usual, evaluate.BATCH = evaluate.BATCH, 7
    try:
        yield
    finally:
        evaluate.BATCH = usual


def evaluation_changes_nothing(bench: Bench) -> None:
    evaluated = []
    for session, contender in bench.through_sessions():
        contender.seed_context.evaluator.evaluate(contender.strategy, session)
        evaluated.append(state_sha256(contender.strategy.model))
    if evaluated != [state_sha256(contender.strategy.model) for _, contender in bench.through_sessions()]:
        raise BrokenError("a model that is tested after every session becomes another one; embed() and scores() must leave it as it was")


def batch_norm_stays_where_it_is_declared(bench: Bench) -> None:
    if bench.identity.config.get("batch_norm", "eval") != "eval" or bench.method.set_modes is not SessionStrategy.set_modes:
        return
    states = [batch_norm_state(contender.strategy.model.backbone) for _, contender in bench.through_sessions()]
    if not all(torch.equal(a, b) for a, b in zip(states[0], states[-1], strict=True)):
        raise BrokenError("running statistics of batch norm move, but batch_norm is eval; set Config's batch_norm, or override set_modes()")


def batch_norm_state(module: nn.Module) -> list[Tensor]:
    return [b.clone() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for b in m.buffers()]


def memory_is_within_its_budget(bench: Bench) -> None:
    for session, contender in bench.through_sessions():
        budget, kept = contender.memory.budget, contender.memory.indices
        if budget is not None and len(kept) > budget:
            raise BrokenError(f"session {session}: keeps {len(kept)} images, but declares a memory_budget of {budget}")
        seen = torch.cat([torch.from_numpy(rows) for rows in contender.seed_context.split.train[: session + 1]])
        if not bool(torch.isin(kept, seen).all()):
            raise BrokenError(f"session {session}: its memory lists images of sessions to come")


def only_what_trains_moves(bench: Bench) -> None:
    """Of parameters that no optimiser has, while a session trains; hooks around the training may change what they like."""
    method = bench.method
    if any(getattr(method, name) is not getattr(SessionStrategy, name) for name in STEPS):
        return
    trained: set[int] = set()
    before: dict[str, Tensor] = {}
    moved: list[str] = []
    trainable, after_session = method.trainable, method.after_session

    def note(strategy: Hooks) -> list[nn.Parameter]:
        parameters = list(trainable(strategy))
        trained.update(map(id, parameters))
        before.update({name: p.detach().clone() for name, p in strategy.model.named_parameters()})
        return parameters

    def look(strategy: Hooks) -> None:
        for name, p in strategy.model.named_parameters():
            if name in before and id(p) not in trained and not torch.equal(before[name], p):
                moved.append(f"{name} in session {strategy.session}")
        after_session(strategy)  # may train with a loop of its own, and ask for trainable() there
        trained.clear()
        before.clear()

    with replaced(method, trainable=note, after_session=look):
        for _ in bench.through_sessions():
            pass
    if moved:
        raise BrokenError(f"{moved[0]} moves while the session trains, and trainable() does not name it")


@contextmanager
def replaced(cls: type, **functions: Callable[..., object]) -> Iterator[None]:
    """In this context, a class has these functions in the place of its own or inherited ones."""
    own = {name: vars(cls)[name] for name in functions if name in vars(cls)}
    for name, function in functions.items():
        setattr(cls, name, function)
    try:
        yield
    finally:
        for name in functions:
            delattr(cls, name)
        for name, function in own.items():
            setattr(cls, name, function)


COMPARING = (independent_of_what_ran_before, scores_each_image_by_itself, evaluation_changes_nothing)
"""Checks that conclude something from two runs of one seed."""
CHECKS: dict[str, Callable[[Bench], None]] = {
    "runs through all sessions": runs_through_all_sessions,
    "same seed, same bytes, on a cached base and on a new one": same_seed_same_bytes,
    "independent of what ran before": independent_of_what_ran_before,
    "scores each image by itself": scores_each_image_by_itself,
    "testing changes nothing": evaluation_changes_nothing,
    "batch norm stays where it is declared frozen": batch_norm_stays_where_it_is_declared,
    "memory is within its budget": memory_is_within_its_budget,
    "only what trainable() names moves in training": only_what_trains_moves,
}
