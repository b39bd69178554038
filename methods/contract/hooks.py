"""What a method says of itself: the hooks in which methods differ, and what they may use in them.

A method is one file of methods/ with one class that derives from `SessionStrategy` (strategy.py), which calls these hooks in
Avalanche's life-cycle. Session 0 is the base session: its model comes trained, and all hooks but the training itself are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract.config import MethodConfig, TrainConfig
from methods.contract.context import FrozenPart, MethodContext
from methods.contract.selection import BestEpoch
from methods.parts.network import Network
from protocols.schema import Sessions


class Hooks:
    """By default: train everything by cross-entropy on the session's shots."""

    title: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = TrainConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    """Named settings; the first is the default. A literal, so that `--list` can read it without importing torch."""
    bases: ClassVar[dict[str, str]] = {}
    """Preset -> base model it starts from, where that is not `linear` (see methods/bases/)."""
    memory_budget: ClassVar[int | None] = 0
    """Images of past sessions kept at most; None: all of them."""
    version: ClassVar[int] = 1
    """Raise it when a change of the code changes numbers: older records are then run again."""

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        """Images kept at most, where it depends on parameters or on the protocol."""
        return cls.memory_budget

    context: MethodContext
    config: Any
    session: int
    """Number of the current session; 0 is the base session."""
    has_frozen_part: bool
    """Whether `mb_x` holds outputs of `frozen_part` instead of images."""
    best_epoch: BestEpoch | None
    model: Any
    experience: Any
    mb_x: Tensor
    """The batch: images [N, C, S, S], or what the frozen part made of them."""
    mb_y: Tensor
    """Its labels [N], positions in the class order."""
    mb_output: Tensor
    """Its logits [N, classes seen]."""

    # Hooks -----------------------------------------------------------------------------------------------------------------

    def adopt(self, network: Network) -> None:
        """Reshape the base model once, before session 0 (another head, say). Its base accuracy should survive."""
        if isinstance(self.config, TrainConfig):
            network.head.new_row_std = self.config.new_row_std

    def before_session(self) -> None:
        """Before the head grows: keep a teacher, say. Evaluation mode, no gradients; in session 0 too."""

    def head_grown(self) -> None:
        """The head has the session's indices, nothing is trained yet: draw them otherwise, say. Not in session 0."""

    def trainable(self) -> Iterable[nn.Parameter]:
        """Parameters that this session's optimiser gets; all others get no gradient. `self.clock` still counts the last session."""
        return self.model.parameters()

    def frozen_part(self) -> FrozenPart | None:
        """The part of the network that stands still all session long, if any: its outputs are what `self.mb_x` then holds.

        Computed for many batches at once, and once a view under `views`. Asked before the head grows, whenever indices are loaded;
        called with batch norm in evaluation mode. Under `views` a batch comes again: never write into it. Whoever gives one
        overrides `forward` to go on from there (`self.has_frozen_part` says whether mb_x is below's output).
        """
        return None

    def frozen_classes(self) -> int:
        """Head indices of that many first classes stay bit-equal through the epoch, though the head trains."""
        return 0

    def session_epochs(self) -> int:
        """Epochs of a session, at most."""
        return int(getattr(self.config, "epochs", 0))

    def before_epoch(self, epoch: int) -> None:
        """Before epoch `epoch` (from 0) of a session. `self.restart(lr)` here begins another phase of training."""

    def finished(self) -> bool:
        """After an epoch: whether the session ends here. The network is in training mode."""
        if self.best_epoch is not None:
            self.best_epoch.offer(self.model, self.test_accuracies(), self.classes_by_session)
        return False

    def test_accuracies(self) -> list[float]:
        """By session, the present one last. Raises RuntimeError unless the runner has granted test images."""
        if self.context.oracle is None:
            raise RuntimeError("test images are granted under selection oracle_test only")
        return self.context.oracle(self)

    def session_indices(self) -> Tensor:
        """Indices that the session trains on: its own images. Add `self.context.memory.indices` to rehearse."""
        return self.own_indices

    def session_loss(self) -> Tensor:
        """Loss of the batch `self.mb_x`, `self.mb_y` with logits `self.mb_output` [N, seen]. Default: cross-entropy."""
        return F.cross_entropy(self.mb_output, self.mb_y)

    def after_session(self) -> None:
        """Bookkeeping in evaluation mode and without gradients, after session 0 too: prototypes, exemplars."""

    def session_log(self) -> dict[str, float]:
        """The method's own numbers of this session, for the record."""
        return {}

    def epoch_log(self) -> dict[str, float]:
        """The method's own numbers after an epoch; asked where a study draws them, and must change nothing."""
        return {}

    def represent(self, features: Tensor) -> list[Tensor]:
        """Backbone features [N, d] to what each head reads, the base head's first; asked where a study measures or draws it."""
        return [self.model.projection(features)]

    def embed(self, images: Tensor) -> Tensor:
        """Test or training images [N, C, S, S] to backbone features [N, d]."""
        return self.model.embed(images)

    def scores(self, features: Tensor) -> Tensor:
        """Backbone features [N, d] to scores [N, classes seen]; the highest is predicted."""
        return self.model.classify(features)

    # What hooks may use ------------------------------------------------------------------------------------------------------

    @property
    def own_indices(self) -> Tensor:
        """Indices of the images that the current session brings."""
        return torch.tensor(list(self.experience.dataset.image_index), dtype=torch.int64)

    @property
    def old_classes(self) -> int:
        """Classes of earlier sessions."""
        return self.context.sessions.span(self.session).start

    @property
    def classes_by_session(self) -> list[int]:
        """How many classes each session so far has brought, the current one last."""
        return [len(self.context.sessions.span(number)) for number in range(self.session + 1)]

    @property
    def classes_seen(self) -> int:
        """Including those of the current session."""
        return self.context.sessions.span(self.session).stop

    def embed_indices(self, indices: Tensor) -> Tensor:
        """Features [n, d] of training images under the test transform, in evaluation mode."""
        if type(self).embed is Hooks.embed and not self.model.training:
            stored = self.context.images.stored_features(indices, self.model)
            if stored is not None:
                return stored
        return torch.cat([self.embed(self.context.images.plain(part)) for part in self.context.images.pieces(indices)])
