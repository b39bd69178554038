"""What settings alone rule out is tried on an untrained network, before hours go into a base session that no method can stand on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.base.frozen import check_frozen
from benchmarks.base.network import kind_at, untrained, without
from benchmarks.records.identity import Identity
from benchmarks.running.guard import blocked, folders_to_block
from benchmarks.running.shared_state import left_as_it_was
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.context import MethodContext
from methods.contract.loading import load_base_kind, load_method
from methods.contract.memory import Memory
from protocols.messages import first_line
from protocols.schema import Protocol

CPU = torch.device("cpu")


def refuse_impossible(protocol: Protocol, runs: Sequence[Identity], settings: Settings) -> None:
    """Raises UsageError, which names all of them, if base sessions of some runs cannot be trained on what their recipe leaves frozen, or
    their methods refuse the network that their base sessions leave. Needs neither images nor weights."""
    refused: dict[str, str] = {}
    for run in {(run.variant, run.base_session): run for run in runs}.values():
        try:
            check_frozen(protocol, run)
            try_to_enter(protocol, run, settings)
        except ValueError as error:
            refused[run.variant] = first_line(error)
    if refused:
        told = "; ".join(f"{variant}: {reason}" for variant, reason in refused.items())
        raise UsageError(f"{protocol.name}: cannot be run, leave out or change {told}")


def try_to_enter(protocol: Protocol, run: Identity, settings: Settings) -> None:
    """Gives an untrained network of the run's base session to its method. Raises ValueError if that, or building it, does.

    Any other error says nothing here: somebody's own method may want images already.
    """
    kinds = [(kind_at(stage), 1.0) for stage in run.stages]
    network = without(untrained(protocol, kinds, "fp32", 0, None, CPU), kinds[-1][0].drop).eval()
    cls = load_method(run.method)
    config = cls.Config.model_validate(run.config)
    memory = Memory(cls.budget(config, run.sessions))
    context = MethodContext(network, None, memory, run.sessions, CPU, lambda: network)  # type: ignore[arg-type]
    try:
        with (
            left_as_it_was(lambda: (load_method(run.method), load_base_kind(run.base))),
            blocked(folders_to_block(settings)),
            torch.random.fork_rng(devices=[]),
        ):
            cls(context=context, config=config)
    except ValueError:
        raise
    except Exception:
        return
