"""Cheats that go for training images of other sessions: classes yet to come, and past ones that they did not keep."""

from __future__ import annotations

from typing import Any

import torch

from methods.contract import SessionStrategy, TrainConfig


class LooksElsewhere(SessionStrategy):
    """In session 1; `how` says by which way."""

    title = "Looks elsewhere"

    class Config(TrainConfig):
        epochs: int = 2
        how: str = "asks"

    presets = {
        "asks": {},
        "asks_for_batches": {"how": "asks_for_batches"},
        "keeps": {"how": "keeps"},
        "opens_memory": {"how": "opens_memory"},
        "writes_memory": {"how": "writes_memory"},
        "past_shots": {"how": "past_shots"},
        "stored_features": {"how": "stored_features"},
        "next_experience": {"how": "next_experience"},
    }

    def before_session(self) -> None:
        if self.session == 0:
            self.base_indices = self.own_indices
            return
        context: Any = self.context
        everything, how = torch.arange(1000), self.config.how
        if how == "asks":
            context.images.plain(everything)
        elif how == "asks_for_batches":
            context.images.batches(everything, 10, "all")
        elif how == "keeps":
            context.memory.keep(everything)
        elif how == "opens_memory":
            context.memory.open(everything)
            context.images.plain(everything)
        elif how == "writes_memory":
            context.memory._indices = everything
        elif how == "past_shots":
            context.images.plain(self.base_indices[:5])
        elif how == "stored_features":
            context.memory.open(self.base_indices)
            if context.images.stored_features(self.base_indices, self.model) is not None:
                raise AssertionError("features of base images outlived their session")
            context.images.plain(self.base_indices)
        elif how == "next_experience":
            next(stream for stream in [self.experience.origin_stream])[self.session + 1]
