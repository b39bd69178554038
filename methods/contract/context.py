"""All that a strategy is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from methods.contract.memory import Memory
from methods.parts.network import Network
from protocols.schema import Sessions

FrozenPart = Callable[[Tensor], Tensor]
"""A part of the network, from images [N, C, S, S] to what the rest of it reads."""


class TrainImages(Interface):
    """The training images a method may touch now: those of the current session, and those in its memory."""

    def plain(self, indices: Tensor) -> Tensor:
        """Images under the test transform, float32 [n, C, S, S]."""

    def labels(self, indices: Tensor) -> Tensor:
        """Labels (positions in the class order), int64 [n]."""

    def pieces(self, indices: Tensor) -> Iterable[Tensor]:
        """The indices, cut into as many as a network should embed at once."""

    def stored_features(self, indices: Tensor, network: Network) -> Tensor | None:
        """Features of plain images as they were stored with the base model; None for another backbone or other indices."""

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

        `frozen_part` stands still meanwhile: its outputs take the images' place. `views` epochs are drawn and then shown in turn
        (None: each is drawn anew); there will be `epochs` at most.
        """


Oracle = Callable[[Any], list[float]]
"""A strategy calls it with itself. Returns its present test accuracy in percent on the classes of each session so far.

The runner hands it out under `selection: oracle_test` only.
"""


@dataclass(frozen=True)
class MethodContext:
    """All that a strategy is handed: a copy of the base model, training images, memory, the shape of the sessions.

    `untrained_network()` makes the network as it was before the base session. `compiling_pays(n)` says
    whether a training that shows n images is worth compiling.
    """

    network: Network
    images: TrainImages
    memory: Memory
    sessions: Sessions
    device: torch.device
    untrained_network: Callable[[], Network]
    oracle: Oracle | None = None
    compiling_pays: Callable[[int], bool] = lambda images: False
