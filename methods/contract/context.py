"""Everything that the runner passes to a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from methods.contract.memory import Memory
from methods.contract.selection import Measured
from methods.parts.capture import Recorder, Steps, steps_with
from methods.parts.network import Network
from protocols.schema import Sessions
from protocols.training import Trains

FrozenPart = Callable[[Tensor], Tensor]
"""A frozen part of the network: maps images [N, C, S, S] to the input of the remaining part."""


class TrainImages(Interface):
    """The training images that a method may use now: those of the current session and those in its memory."""

    def plain(self, indices: Tensor) -> Tensor:
        """Images under the test transform, float32 [n, C, S, S]."""

    def labels(self, indices: Tensor) -> Tensor:
        """Labels (positions in the class order), int64 [n]."""

    def pieces(self, indices: Tensor) -> Iterable[Tensor]:
        """The indices, split into chunks of the size that a network should embed at once."""

    def stored_features(self, indices: Tensor, network: Network) -> Tensor | None:
        """Features [n, d] of plain images that are stored with the base model; None for another backbone or other indices."""

    def batches(
        self,
        indices: Tensor,
        batch: int,
        name: str,
        *,
        frozen_part: FrozenPart | None = None,
        views: int | None = None,
        epochs: int | None = None,
    ) -> Iterable[list[Tensor]]:
        """Augmented batches [images, labels, zeros]; each iteration is one shuffled epoch of the stream `name`.

        If `frozen_part` is given, batches hold its outputs instead of images; it must not change meanwhile. `views` epochs are
        drawn once and then repeated in turn (None: every epoch is drawn anew). `epochs` is the maximum number of epochs.
        """


Oracle = Callable[[Any], Measured]
"""Maps a strategy to its current accuracies. The runner provides it where an epoch may be chosen by them (selection.py)."""


@dataclass(frozen=True)
class MethodContext:
    """Everything that a strategy gets: a copy of the base model, training images, memory, the layout of the sessions.

    `untrained_network()` builds the network as it was before the base session. `compiling_pays(n)` says whether a training that
    processes n images is long enough to be worth compiling. `steps(recorder)` does training steps. `trains` is the most of the backbone
    that the recipe lets a session train. `records_sessions`: whether a GPU may record the steps of a capturable method.
    """

    network: Network
    images: TrainImages
    memory: Memory
    sessions: Sessions
    device: torch.device
    untrained_network: Callable[[], Network]
    oracle: Oracle | None = None
    compiling_pays: Callable[[int], bool] = lambda images: False
    steps: Callable[[Recorder | None], Steps] = steps_with
    trains: Trains = "all"
    records_sessions: bool = False
