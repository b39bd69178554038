"""Cheats that keep training images beyond what they declare: base images in session 0, shots in the later ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from methods.contract import SessionStrategy, TrainConfig

CHEST: list[Any] = []


class Hoards(SessionStrategy):
    """Declares a memory of three images, and keeps five; `since` is the session in which it begins."""

    title = "Hoards images"
    memory_budget = 3

    class Config(TrainConfig):
        epochs: int = 2
        how: str = "memory"
        since: int = 0

    presets = {
        "memory": {},
        "raised_budget": {"how": "raised_budget"},
        "attribute": {"how": "attribute"},
        "list": {"how": "list"},
        "flat": {"how": "flat"},
        "bytes": {"how": "bytes"},
        "buffer": {"how": "buffer"},
        "file": {"how": "file"},
        "shots": {"how": "attribute", "since": 1},
        "shots_in_memory": {"how": "raised_budget", "since": 1},
        "batches": {"how": "batches", "since": 1},
    }

    def after_session(self) -> None:
        if self.session < self.config.since:
            return
        rows, how, images = self.own_indices[:5], self.config.how, self.context.images
        if how == "memory":
            self.context.memory.keep(rows)
        elif how == "raised_budget":
            self.context.memory.budget = None
            self.context.memory.keep(rows)
        elif how == "attribute":
            self.saved: Any = images.plain(rows)
        elif how == "list":
            self.saved = [{"image": image} for image in images.plain(rows)]
        elif how == "flat":
            self.saved = images.plain(rows).flatten(1).half()
        elif how == "bytes":
            self.saved = (images.plain(rows) * 50).to(torch.uint8).numpy()
        elif how == "buffer":
            self.model.register_buffer("saved", images.plain(rows))
        elif how == "file":
            CHEST.append(images.plain(rows))
        elif how == "batches":
            self.saved = iter_first(images.batches(rows, 5, "saved"))


def iter_first(batches: Any) -> Tensor:
    first: Tensor = next(iter(batches))[0]
    return first
