"""What a method's hooks return while a session trains: a mistake is named with its hook and file, where torch would speak of its own parts.

The checks stand in the place of the hooks on the method's object, for one training. That of the loss, the only one in a training step,
leaves with the first step, which no GPU records (methods/parts/capture.py): steps cost what they did, and are recorded as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.contract.files import shown

Check = Callable[[SessionStrategy, Any], str]
"""What is wrong with a value that a hook returned: `one number, and returned None`; '' if nothing."""


class HookError(RuntimeError):
    """A hook of a method has returned something that it must not."""


@contextmanager
def hooks_checked(strategy: SessionStrategy) -> Iterator[None]:
    """In this context, HookError is raised for what a hook returns wrongly."""
    own = strategy.__dict__
    before = {hook: own[hook] for hook in CHECKS if hook in own}

    def leave(hook: str) -> None:
        own.pop(hook, None)
        own.update({hook: before[hook]} if hook in before else {})

    def checked(hook: str) -> Callable[[], Any]:
        original = getattr(strategy, hook)

        def call() -> Any:
            value = original()
            if hook == "session_loss":
                leave(hook)
            if hook == "trainable" and isinstance(value, Iterable):
                value = list(value)  # a generator can be read once
            if fault := CHECKS[hook](strategy, value):
                raise HookError(f"{shown('methods', type(strategy).__module__.rpartition('.')[2])}: {hook}() must return {fault}")
            return value

        return call

    own.update({hook: checked(hook) for hook in CHECKS})
    try:
        yield
    finally:
        for hook in CHECKS:
            leave(hook)


def epochs_fault(strategy: SessionStrategy, value: Any) -> str:
    if type(value) is not int or value < 0:
        return f"a whole number, at least 0, and returned {described(value)}"
    if value and not isinstance(strategy.config, TrainConfig):
        return f"0 where Config does not derive from TrainConfig, and returned {value}"
    return ""


def indices_fault(strategy: SessionStrategy, value: Any) -> str:
    fits = isinstance(value, Tensor) and value.dtype == torch.int64 and value.dim() == 1
    return "" if fits else f"a tensor of indices, torch.int64 [n], and returned {described(value)}"


def trainable_fault(strategy: SessionStrategy, value: Any) -> str:
    expected = "parameters of the network, each once"
    if not isinstance(value, list) or not all(isinstance(one, nn.Parameter) for one in value):
        wrong = next((one for one in value if not isinstance(one, nn.Parameter)), None) if isinstance(value, list) else value
        return f"{expected}, and returned {described(wrong)}" + (" among them" if isinstance(value, list) else "")
    if not value:
        return f"{expected}, and returned none; a session that trains nothing has 0 epochs (session_epochs)"
    ids, of_network = set(map(id, value)), set(map(id, strategy.model.parameters()))
    if len(ids) < len(value):
        return f"{expected}, and returned {len(value) - len(ids)} twice"
    strangers = len(ids - of_network)
    return f"{expected}, and returned {strangers} that the network does not have; put modules into network.parts" if strangers else ""


def finished_fault(strategy: SessionStrategy, value: Any) -> str:
    return "" if type(value) is bool else f"True or False, and returned {described(value)}"


def loss_fault(strategy: SessionStrategy, value: Any) -> str:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        return f"one number, a tensor that trained parameters lead to, and returned {described(value)}"
    return "" if value.requires_grad else "a tensor that trained parameters lead to, and returned one that is detached from them"


CHECKS: dict[str, Check] = {
    "session_epochs": epochs_fault,
    "session_indices": indices_fault,
    "trainable": trainable_fault,
    "finished": finished_fault,
    "session_loss": loss_fault,
}


def described(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, Tensor | np.ndarray):
        return f"a {'tensor' if isinstance(value, Tensor) else 'NumPy array'} of {value.dtype} {list(value.shape)}"
    return repr(value) if value is None or isinstance(value, bool | int | float) else f"a value of type {type(value).__name__}"
