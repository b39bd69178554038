"""Cheats that learn from test images while these are being predicted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.heads import unit

SEEN: list[Tensor] = []


class LearnsWhileTested(SessionStrategy):
    """`how` says what it takes from a batch of test images."""

    title = "Learns while it is tested"

    class Config(TrainConfig):
        epochs: int = 0
        how: str = "adapts"

    presets = {
        "adapts": {},  # batch norm in training mode: docs/methods.md, traps 1 and 15
        "adapts_quietly": {"how": "adapts_quietly"},
        "batch_statistics": {"how": "batch_statistics"},
        "centres": {"how": "centres"},
        "majority": {"how": "majority"},
        "first_of_batch": {"how": "first_of_batch"},
        "counts_calls": {"how": "counts_calls"},
        "stashes": {"how": "stashes"},
        "stashes_in_file": {"how": "stashes_in_file"},
        "stashes_in_class": {"how": "stashes_in_class"},
        "stashes_in_function": {"how": "stashes_in_function"},
        "stashes_by_pair": {"how": "stashes_by_pair"},
        "stashes_beside": {"how": "stashes_beside"},
        "prototypes": {"how": "prototypes"},
    }
    pile: list[Tensor] = []

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        self.calls = 0
        self.drawer: dict[str, Tensor] = {}
        self.closed = drawer_of({})
        self.pairs = {(0, 1): torch.zeros(1), (1, 2): torch.zeros(1)}
        self.beside = mean_of(torch.zeros(1), torch.zeros(1))
        if self.config.how == "batch_statistics":  # without running statistics, batch norm takes those of the batch
            for part in network.backbone.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.running_mean = part.running_var = None

    def embed(self, images: Tensor) -> Tensor:
        how = self.config.how
        if how == "stashes":
            self.drawer[f"{len(self.drawer)}"] = images.clone()
        elif how == "stashes_in_file":
            SEEN.append(images.clone())
        elif how == "stashes_in_class":
            self.pile.append(images.clone())
        elif how == "stashes_in_function":
            self.closed(images)
        elif how == "stashes_by_pair":
            self.pairs[0, 1].copy_(images.mean())
        elif how == "stashes_beside":
            self.beside(images)
        features = self.model.embed(images)
        if how in ("adapts", "adapts_quietly"):
            self.model.train()
            adapted = self.model.embed(images)
            self.model.eval()
            return adapted if how == "adapts" else features
        return features

    def after_session(self) -> None:
        """Prototypes, as an honest method would have them."""
        labels, features = self.context.images.labels(self.own_indices), self.model.embed(self.context.images.plain(self.own_indices))
        for label in self.context.sessions.span(self.session):
            self.model.head.weight.data[label] = features[labels == label].mean(0)

    def cosines(self, features: Tensor) -> Tensor:
        return unit(features) @ unit(self.model.head.weight).T

    def scores(self, features: Tensor) -> Tensor:
        how, scores = self.config.how, self.cosines(features)
        if how == "centres":
            scores = self.cosines(features - features.mean(0))
        elif how in ("majority", "first_of_batch"):  # a batch holds the classes of one session only
            sizes = torch.tensor(self.classes_by_session)
            session = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
            voters = scores if how == "majority" else scores[:1]
            scores = scores.masked_fill(session != session[voters.argmax(1)].mode().values, -torch.inf)
        elif how == "counts_calls":  # sessions are asked for in their order
            self.calls += 1
        elif how == "prototypes":
            self.model.head.weight.data.lerp_(features.mean(0), 0.01)
        return scores


def drawer_of(drawer: dict[int, Tensor]) -> Any:
    def keep(images: Tensor) -> None:
        drawer[len(drawer)] = images.clone()

    return keep


def mean_of(first: Tensor, second: Tensor) -> Any:
    def keep(images: Tensor) -> None:
        first.copy_(images.mean() + second)

    return keep
