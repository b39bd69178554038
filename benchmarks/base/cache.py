"""Base models on disk. Each is trained once; a checkpoint keeps the state of unfinished training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import finite, fits, read_tensors, write_tensors
from benchmarks.system.errors import BusyError
from benchmarks.system.files import locked, locked_or_there, remove
from methods.parts.network import Network

OPTIMIZER_STATE = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "step"}
"""What a checkpoint keeps of an optimiser: name in the checkpoint -> name in torch."""
NO_STATE = "no_state"
"""Entries of a checkpoint for trained parameters of which the optimiser had no state, since no loss has used them yet."""
CHECKPOINT_SECONDS = 60.0  # between checkpoints; a killed base training loses about this much time


class Checkpoint:
    """State of an unfinished base training, written about once a minute. Resumed training gives bit-identical results."""

    def __init__(self, path: Path, key: BaseKey) -> None:
        self.path, self.key = path, key
        self.written = time.monotonic()

    def keep(self, network: Network, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        if time.monotonic() - self.written < CHECKPOINT_SECONDS:
            return
        state = {f"network.{name}": value for name, value in network.state_dict().items()}
        for name, parameter in trained(network, optimizer).items():
            of_parameter = optimizer.state.get(parameter, {})
            kept = {key: of_parameter[inside] for key, inside in OPTIMIZER_STATE.items() if of_parameter.get(inside) is not None}
            state |= {f"{key}.{name}": value for key, value in (kept or {NO_STATE: torch.empty(0)}).items()}
        state["epoch"] = torch.tensor(epoch)
        write_tensors(self.path, self.key, state)
        self.written = time.monotonic()

    def resume(self, network: Network, optimizer: torch.optim.Optimizer) -> int:
        """Load the stored state, if any. Returns the number of finished epochs, 0 without a usable state."""
        state = read_tensors(self.path, self.key)
        if state is None:
            return 0
        without = below(NO_STATE, state)
        parameters = {name: parameter for name, parameter in trained(network, optimizer).items() if name not in without}
        parts = {prefix: below(prefix, state) for prefix in ("network", *OPTIMIZER_STATE)}
        expected = {"network": network.state_dict(), **state_of(optimizer, parameters)}
        if "epoch" not in state or not all(fits(part, expected.get(prefix, {})) for prefix, part in parts.items()):
            return 0
        network.load_state_dict(parts.pop("network"))
        for prefix, part in parts.items():
            for name, value in part.items():
                buffer = torch.empty_like(expected[prefix][name]).copy_(value)  # keeps the memory layout
                optimizer.state[parameters[name]][OPTIMIZER_STATE[prefix]] = buffer
        return int(state["epoch"])

    def remove(self) -> None:
        remove(self.path)


def trained(network: Network, optimizer: torch.optim.Optimizer) -> dict[str, torch.nn.Parameter]:
    """The parameters that the optimiser was given and that are not frozen. It has a state for those that had a gradient."""
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad and id(parameter) in given}


def below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries `prefix.NAME`, by NAME."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def state_of(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
    """What the optimiser holds of these after a step, by names in a checkpoint; values in shape, type, layout and device only."""
    if isinstance(optimizer, torch.optim.Adam):
        device = optimizer.param_groups[0]["params"][0].device if optimizer.defaults["fused"] else torch.device("cpu")
        counters = {name: torch.zeros((), device=device) for name in parameters}
        return {"exp_avg": parameters, "exp_avg_sq": parameters, "step": counters}
    return {"momentum": parameters} if optimizer.param_groups[0]["momentum"] else {}


def cached_base(
    folder: Path,
    key: BaseKey,
    fresh: Callable[[], Network],
    train: Callable[[Network, Checkpoint], None],
    drop: Sequence[str] = (),
    wait: bool = True,
) -> dict[str, Tensor]:
    """The state of the base model of `key`: read if it is stored intact, else trained from `fresh()` and stored.

    Parts of the network named in `drop` are trained, but not stored. One process trains; others that need the same base model wait, or
    get a BusyError if `wait` is False. Raises FloatingPointError for weights that are not finite.
    """
    base = CachedBase(folder, key, fresh, drop)
    with locked_or_there(base.lock, wait, base.path) as mine:
        state = base.read()
        if state is None:
            if not mine:
                raise BusyError(base.lock)
            network = fresh()
            train(network, base.checkpoint)
            state = base.store(network)
        if mine:
            base.checkpoint.remove()  # also one left by a process that was killed just before this line
        return state


def train_missing(
    bases: Sequence[CachedBase], train: Callable[[Sequence[tuple[CachedBase, Network]]], Sequence[FloatingPointError | None]]
) -> None:
    """Trains those of the base models together that are neither stored nor being trained by another process, and stores them.

    `train` gets each with its untrained network and returns an error for each that failed, which is kept in the base.
    """
    with ExitStack() as locks:
        missing = [base for base in bases if locks.enter_context(locked(base.lock, wait=False)) and base.read() is None]
        networks = [(base, base.fresh()) for base in missing]
        for (base, network), error in zip(networks, train(networks) if networks else (), strict=True):
            try:
                if error is not None:
                    raise error
                base.store(network)
                base.checkpoint.remove()
            except FloatingPointError as failed:
                base.error = failed


@dataclass
class CachedBase:
    """Where one base model is stored. `fresh()` is its untrained network; parts named in `drop` are not stored.

    `error` says why it could not be trained, if it was tried.
    """

    folder: Path
    key: BaseKey
    fresh: Callable[[], Network]
    drop: Sequence[str] = ()
    error: FloatingPointError | None = None

    def __post_init__(self) -> None:
        self.path = self.folder / f"{self.key.stem}.safetensors"
        self.lock = self.path.with_suffix(".lock")
        self.checkpoint = Checkpoint(self.path.with_suffix(".checkpoint"), self.key)

    def read(self) -> dict[str, Tensor] | None:
        """The stored state; None if it is missing, damaged or of another network."""
        state = read_tensors(self.path, self.key)
        return state if state is not None and self.fits(state) else None

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a state is one of this network."""
        return fits(state, exported(self.fresh(), self.drop))

    def store(self, network: Network) -> dict[str, Tensor]:
        """Stores the trained network. Returns its state. Raises FloatingPointError or StorageError."""
        state = exported(network, self.drop)
        if not finite(state):  # after the last step; its loss was still finite
            raise FloatingPointError("base training: weights are no numbers any more; lower the recipe's lr")
        write_tensors(self.path, self.key, state)
        return state


def exported(network: Network, drop: Sequence[str]) -> dict[str, Tensor]:
    """The network's parameters and buffers without those of the parts named in `drop`."""
    prefixes = tuple(f"parts.{name}." for name in drop)
    return {name: value for name, value in network.state_dict().items() if not name.startswith(prefixes)}
