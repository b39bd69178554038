"""The training images that a strategy may use: those of the current session and its exemplars.

Test images are held by another object, the evaluator (benchmarks/running/evaluate.py), which a strategy does not get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.batches import Batches
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform, embedding_size
from methods.contract.memory import LeakError, Memory
from methods.contract.texts import Texts
from methods.parts.network import Network

if TYPE_CHECKING:
    from benchmarks.base.features import TrainFeatures
    from benchmarks.base.outputs import ShownOutputs


class SessionImages:
    """The training images that a method may use now: the current session's, and those in its memory.

    It holds no others, so that not even its private attributes lead to past, future or test images.
    """

    def __init__(self, transform: Transform, memory: Memory, seed: int) -> None:
        self._transform, self._memory, self._seed = transform, memory, seed

    def with_memory(self, memory: Memory, seed: int) -> SessionImages:
        """As this is, for another memory and seed; it shows nothing yet."""
        return SessionImages(self._transform, memory, seed)

    def show(self, indices: Tensor, tensors: Tensors, base: TrainFeatures | None = None, outputs: ShownOutputs | None = None) -> None:
        """Replaces the images by those of `indices` (sorted). The runner calls it when a session begins; `base` is for session 0 only.

        `outputs` are what is stored of a frozen part for these images.
        """
        self._indices, self._base, self._outputs = indices, base, outputs
        here = indices.to(tensors.labels.device)
        shown = tensors.under(self._transform.data)
        self._train = shown[here]
        self._plain = self._train if tensors.plain is shown else tensors.plain[here]
        self._labels = tensors.labels[here]
        # The newest class is among the images shown in every session: texts of no later one are here.
        self._texts = None if tensors.texts is None else tensors.texts.of_first(int(self._labels.max()) + 1)

    def plain(self, indices: Tensor) -> Tensor:
        return self._transform.normalise(self._plain[self._places(indices)])

    def labels(self, indices: Tensor) -> Tensor:
        return self._labels[self._places(indices)]

    def texts(self) -> Texts | None:
        return self._texts

    def pieces(self, indices: Tensor) -> tuple[Tensor, ...]:
        return indices.split(embedding_size(self._transform.data.size, self._plain.device))

    def stored_features(self, indices: Tensor, network: Network) -> Tensor | None:
        indices = self._memory.check(indices)
        found = None if self._base is None else self._base.of(indices, network)
        if found is None and self._outputs is not None:
            found = self._outputs.features(self._places(indices), network)
        return found

    def batches(
        self,
        indices: Tensor,
        batch: int,
        name: str,
        *,
        frozen_part: Callable[[Tensor], Tensor] | None = None,
        views: int | None = None,
        epochs: int | None = None,
    ) -> Batches:
        places, stored = self._places(indices), None
        if frozen_part is not None and self._outputs is not None:
            stored = self._outputs.views_under(frozen_part)
        of = (self._train, self._labels, places, self._transform, batch, self._seed, name)
        return Batches(*of, frozen_part=frozen_part, views=views, epochs=epochs, stored=stored)

    def _places(self, indices: Tensor) -> Tensor:
        """Positions of these image indices among those shown. Raises LeakError for one that is not shown."""
        wanted, shown = self._memory.check(indices).numpy(), self._indices.numpy()
        places = np.searchsorted(shown, wanted).clip(max=len(shown) - 1)
        if not np.array_equal(shown[places], wanted):  # a memory that was tampered with
            raise LeakError("asked for training images that are not shown in this session")
        return torch.from_numpy(places)
