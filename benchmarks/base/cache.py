"""Base models on disk. Each is trained once; a checkpoint keeps the state of unfinished training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import finite, fits, read_tensors, write_tensors
from benchmarks.system.errors import BusyError
from benchmarks.system.files import locked, remove
from methods.parts.network import Network

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
        for name, parameter in network.named_parameters():
            momentum = optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                state[f"momentum.{name}"] = momentum
        state["epoch"] = torch.tensor(epoch)
        write_tensors(self.path, self.key, state)
        self.written = time.monotonic()

    def resume(self, network: Network, optimizer: torch.optim.Optimizer) -> int:
        """Load the stored state, if any. Returns the number of finished epochs, 0 without a usable state."""
        state = read_tensors(self.path, self.key)
        if state is None:
            return 0
        own, momentum = (
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            for prefix in ("network.", "momentum.")
        )
        parameters = dict(network.named_parameters())
        moves = parameters if optimizer.param_groups[0]["momentum"] else {}
        if "epoch" not in state or not (fits(own, network.state_dict()) and fits(momentum, moves)):
            return 0
        network.load_state_dict(own)
        for name, value in momentum.items():
            buffer = torch.empty_like(parameters[name]).copy_(value)  # keeps the memory layout
            optimizer.state[parameters[name]]["momentum_buffer"] = buffer
        return int(state["epoch"])

    def remove(self) -> None:
        remove(self.path)


def cached_base(
    folder: Path, key: BaseKey, fresh: Callable[[], Network], train: Callable[[Network, Checkpoint], None], wait: bool = True
) -> dict[str, Tensor]:
    """The state of the base model of `key`: read if it is stored intact, else trained from `fresh()` and stored.

    One process trains; others that need the same base model wait, or get a BusyError if `wait` is False. Raises FloatingPointError for
    weights that are not finite.
    """
    path = folder / f"{key.stem}.safetensors"
    lock = path.with_suffix(".lock")
    with locked(lock, wait) as mine:
        state = read_tensors(path, key)
        checkpoint = Checkpoint(path.with_suffix(".checkpoint"), key)
        network = fresh()
        if state is None or not fits(state, network.state_dict()):
            if not mine:
                raise BusyError(lock)
            train(network, checkpoint)
            state = dict(network.state_dict())
            if not finite(state):  # after the last step; its loss was still finite
                raise FloatingPointError("base training: weights are no numbers any more; lower the recipe's lr")
            write_tensors(path, key, state)
        if mine:
            checkpoint.remove()  # also one left by a process that was killed just before this line
        return state
