"""All that a strategy is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import torch
from torch import Tensor

from methods.contract.memory import Memory
from methods.parts.network import Network
from protocols.schema import Sessions

if TYPE_CHECKING:
    from methods.contract.strategy import SessionStrategy

Below = Callable[[Tensor], Tensor]
"""A part of the network, from images [N, C, S, S] to what the rest of it reads."""


class TrainImages(Interface):
    """The training images a method may touch now: those of the current session, and those in its memory."""

    def plain(self, rows: Tensor) -> Tensor:
        """Images under the test transform, float32 [n, C, S, S]."""

    def labels(self, rows: Tensor) -> Tensor:
        """Labels (positions in the class order), int64 [n]."""

    def pieces(self, rows: Tensor) -> Iterable[Tensor]:
        """The rows, cut into as many as a network should embed at once."""

    def stored_features(self, rows: Tensor, network: Network) -> Tensor | None:
        """Features of plain images as they were stored with the base model; None for another backbone or other rows."""

    def batches(
        self, rows: Tensor, batch: int, name: str, *, below: Below | None = None, views: int | None = None, epochs: int | None = None
    ) -> Iterable[list[Tensor]]:
        """Augmented batches [images, labels, zeros]; each iteration is one shuffled epoch of the stream `name`.

        `below` stands still meanwhile: its outputs take the images' place. `views` epochs are drawn and then shown in turn
        (None: each is drawn anew); there will be `epochs` at most.
        """


Oracle = Callable[["SessionStrategy"], list[float]]
"""Test accuracy now, in percent, on the classes of each session so far: granted by the runner to `oracle_test` only."""


@dataclass(frozen=True)
class Kit:
    """All that a strategy is handed: a copy of the base model, training images, memory, the shape of the sessions.

    `fresh` makes the network as it was before the base session. `pays` says whether a training that shows so many images is
    worth compiling.
    """

    network: Network
    images: TrainImages
    memory: Memory
    sessions: Sessions
    device: torch.device
    fresh: Callable[[], Network]
    oracle: Oracle | None = None
    pays: Callable[[int], bool] = lambda images: False
