"""What settings alone rule out is tried on an untrained network, before hours go into a base session that no method can stand on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch

from benchmarks.base.frozen import check_frozen
from benchmarks.base.model import BaseSessions
from benchmarks.base.network import kind_at, without
from benchmarks.records.identity import Identity
from benchmarks.running.guard import blocked, folders_to_block
from benchmarks.running.shared_state import left_as_it_was
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.context import MethodContext
from methods.contract.loading import load_base_kind, load_method
from methods.contract.memory import Memory
from methods.parts.network import Network
from protocols.messages import first_line
from protocols.schema import Protocol

CPU = torch.device("cpu")
SAYING = ("methods.", "benchmarks.base.")
"""Modules whose own ValueError is a refusal. What a library raises on numbers that nobody has trained says nothing."""


def refuse_impossible(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> None:
    """Raises UsageError, which names all of them, if base sessions of some runs cannot be trained on what their recipe leaves frozen, or
    their methods refuse the network that their base sessions leave. Needs neither images nor weights.

    Any other error of a method or of a base kind is left to its run, where it stops no other.
    """
    bases = BaseSessions(protocol, settings.bases, CPU, None)
    several = len({run.recipe for run in runs}) > 1
    refused: dict[str, str] = {}
    for of_base in by(lambda run: run.base_session, runs):
        network: Network | None = None
        for run in (several_seeds[0] for several_seeds in by(lambda run: run.variant, of_base)):
            try:
                with left_alone(run, settings):
                    network = base_of(bases, run) if network is None else network
                with left_alone(run, settings):
                    enter(bases, run, copy.deepcopy(network))
            except ValueError as error:
                if said_by_itself(error):
                    refused[f"{run.variant} under recipe {run.recipe}" if several else run.variant] = first_line(error)
            except (Exception, SystemExit):
                pass
    if refused:
        told = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise UsageError(f"{protocol.name}: cannot be run, leave out or change {told}")


def by(key: Callable[[Identity], str], runs: Sequence[Identity]) -> list[list[Identity]]:
    """The runs in groups of equal keys, in order of appearance."""
    groups: dict[str, list[Identity]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


@contextmanager
def left_alone(run: Identity, settings: Settings) -> Iterator[None]:
    """As a run is, whose code this is: what all runs share is put back, and neither images nor results are open to it."""
    with (
        left_as_it_was(lambda: (load_method(run.method), load_base_kind(run.base))),
        blocked(folders_to_block(settings)),
        torch.random.fork_rng(devices=[]),
    ):
        yield


def base_of(bases: BaseSessions, run: Identity) -> Network:
    """The run's network as its base sessions leave it, but untrained. Raises what building it raises."""
    check_frozen(bases.protocol, run)
    return without(bases.fresh(run, "fp32")(), kind_at(run.stages[-1]).drop).eval()


def enter(bases: BaseSessions, run: Identity, network: Network) -> None:
    """Constructs the method on an untrained network, without images. Raises whatever the method raises."""
    cls = load_method(run.method)
    config = cls.Config.model_validate(run.config)
    memory = Memory(cls.budget(config, run.sessions))
    oracle = nothing_is_measured if run.selection == "oracle_test" else None
    images: Any = None
    how = (bases.fresh(run, "fp32"), oracle)
    cls(context=MethodContext(network, images, memory, run.sessions, CPU, *how, trains=run.base_recipe.trains), config=config)


def nothing_is_measured(strategy: Any) -> NoReturn:
    raise RuntimeError("nothing is trained yet")


def said_by_itself(error: ValueError) -> bool:
    """Whether the code of a method, of a base kind or of the suite's base sessions raised this, and no library below it."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith(SAYING)
