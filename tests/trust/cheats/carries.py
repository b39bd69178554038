"""Careless methods, rather than cheats: what they do in one run reaches the next, of another seed or of another method."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import SessionStrategy, TrainConfig
from methods.parts import losses

SEEN: list[int] = []
TABLE = torch.zeros(2)
DRAWS = np.random.default_rng(0)
BEST = {"accuracy": [0.0]}
COUNT = itertools.count()


def memo(label: int, known: dict[int, int] = {}) -> int:  # noqa: B006
    return known.setdefault(label, len(known))


def counter() -> Callable[[], int]:
    calls = 0

    def count() -> int:
        nonlocal calls
        calls += 1
        return calls

    return count


calls = counter()


class Notes:
    """An object that a class holds."""

    last = 0


class Carries(SessionStrategy):
    """`how` says what it leaves behind, in a run that is honest otherwise."""

    title = "Carries over"

    class Config(TrainConfig):
        epochs: int = 0
        how: str = "class_dictionary"
        fails: bool = False

    presets = {
        "class_dictionary": {},
        "class_attribute": {"how": "class_attribute"},
        "class_list": {"how": "class_list"},
        "object": {"how": "object"},
        "nested": {"how": "nested"},
        "global": {"how": "global"},
        "global_list": {"how": "global_list"},
        "global_tensor": {"how": "global_tensor"},
        "generator": {"how": "generator"},
        "count": {"how": "count"},
        "default": {"how": "default"},
        "closure": {"how": "closure"},
        "function": {"how": "function"},
        "patch": {"how": "patch"},
        "patch_class": {"how": "patch_class"},
        "threads": {"how": "threads"},
        "dtype": {"how": "dtype"},
        "environment": {"how": "environment"},
        "directory": {"how": "directory"},
    }
    prototypes: dict[int, Tensor] = {}
    names: list[str] = []
    runs = 0
    notes = Notes()

    def after_session(self) -> None:
        DEEDS[self.config.how](self)
        if self.config.fails:
            raise ArithmeticError("after that, it fails")


def rebind(method: Carries) -> None:
    global SEEN
    SEEN = [method.session]


DEEDS: dict[str, Callable[[Carries], Any]] = {
    "class_dictionary": lambda method: method.prototypes.update({method.session: torch.ones(2)}),
    "class_attribute": lambda method: setattr(Carries, "runs", Carries.runs + 1),
    "class_list": lambda method: method.names.append("again"),
    "object": lambda method: setattr(method.notes, "last", 1),
    "nested": lambda method: BEST["accuracy"].append(1.0),
    "global": rebind,
    "global_list": lambda method: SEEN.append(1),
    "global_tensor": lambda method: TABLE.add_(1),
    "generator": lambda method: DRAWS.random(),
    "count": lambda method: next(COUNT),
    "default": lambda method: memo(method.session),
    "closure": lambda method: calls(),
    "function": lambda method: setattr(memo, "calls", 1),
    "patch": lambda method: setattr(losses, "distillation", None),
    "patch_class": lambda method: setattr(SessionStrategy, "session_loss", None),
    "threads": lambda method: torch.set_num_threads(2),
    "dtype": lambda method: torch.set_default_dtype(torch.float64),
    "environment": lambda method: os.environ.update(OMP_NUM_THREADS=str(random.randint(100, 200))),
    "directory": lambda method: os.chdir(os.path.sep),
}
