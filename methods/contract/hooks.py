"""The hooks that a method overrides, and the attributes and helpers that it may use in them.

A method is one file of methods/ with one class that derives from `SessionStrategy` (strategy.py), which calls these hooks in
Avalanche's life-cycle. Session 0 is the base session. Its model is already trained, so only the hooks around training are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    """Defaults of all hooks: train all parameters with cross-entropy on the session's shots."""

    title: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = TrainConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    """Named settings; the first is the default. A literal, so that `--list` can read it without importing torch."""
    bases: ClassVar[dict[str, str]] = {}
    """Preset -> base kind it starts from, if not `linear` (see methods/bases/)."""
    memory_budget: ClassVar[int | None] = 0
    """Maximum number of exemplars from past sessions; None: all images."""
    version: ClassVar[int] = 1
    """Increase it when a change of the code or of a `Config` default changes results. Older records are then run again."""
    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
    """Version n -> function from Config values of version n to those of version n + 1, if runs of version n remain valid."""

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        """Maximum number of exemplars, like `memory_budget`. Override it if it depends on parameters or on the protocol."""
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
    """The batch: images [N, C, S, S], or the outputs of `frozen_part` for them."""
    mb_y: Tensor
    """Its labels [N], positions in the class order."""
    mb_output: Tensor
    """Its logits [N, classes seen]."""

    # Hooks -----------------------------------------------------------------------------------------------------------------

    def adopt(self, network: Network) -> None:
        """Change the base model once, before session 0, for example its head. This should preserve its base accuracy."""
        if isinstance(self.config, TrainConfig):
            network.head.new_row_std = self.config.new_row_std

    def before_session(self) -> None:
        """Called before the head grows, in session 0 too, in evaluation mode without gradients. Use it to copy a teacher, for example."""

    def head_grown(self) -> None:
        """Called once the head has the weights of the new classes, before training; not in session 0. Re-initialise them here."""

    def trainable(self) -> Iterable[nn.Parameter]:
        """Parameters that this session's optimiser gets; all others get no gradient. `self.clock` still holds last session's counts."""
        return self.model.parameters()

    def frozen_part(self) -> FrozenPart | None:
        """Frozen part of the network, or None. If given, `self.mb_x` holds its outputs instead of images.

        It must not change during the session. It runs on many batches at once, and once per view under `views`, with batch norm in
        evaluation mode. This hook is called whenever training images are loaded, the first time before the head grows. Never
        write into `self.mb_x`: under `views`, the same batch is used again. A method that returns a frozen part overrides
        `forward` to continue from its outputs; `self.has_frozen_part` says whether `self.mb_x` holds them.
        """
        return None

    def frozen_classes(self) -> int:
        """Number of first classes whose weights stay bit-equal during the epoch although the head is trained."""
        return 0

    def session_epochs(self) -> int:
        """Maximum number of epochs in a session."""
        return int(getattr(self.config, "epochs", 0))

    def first_phase_epochs(self) -> int:
        """Length of the phase of training with which a session begins. Override it if `before_epoch` begins another phase."""
        return self.session_epochs()

    def before_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (from 0) of a session. Call `self.restart(lr)` here to begin another phase of training."""

    def finished(self) -> bool:
        """Called after each epoch, in training mode. Returns True to end the session."""
        if self.best_epoch is not None:
            self.best_epoch.offer(self.model, self.test_accuracies(), self.classes_by_session)
        return False

    def test_accuracies(self) -> list[float]:
        """Test accuracy in percent on the classes of each session, the current one last.

        Raises RuntimeError unless the runner has granted access to test images.
        """
        if self.context.oracle is None:
            raise RuntimeError("test images are granted under selection oracle_test only")
        return self.context.oracle(self)

    def session_indices(self) -> Tensor:
        """Indices of the images that the session trains on. Default: its own. Add `self.context.memory.indices` to rehearse."""
        return self.own_indices

    def session_loss(self) -> Tensor:
        """Loss of the batch `self.mb_x`, `self.mb_y` with logits `self.mb_output` [N, seen]. Default: cross-entropy."""
        return F.cross_entropy(self.mb_output, self.mb_y)

    def after_session(self) -> None:
        """Called after each session, session 0 included, in evaluation mode without gradients. Store prototypes or exemplars here."""

    def session_log(self) -> dict[str, float]:
        """The method's own numbers about this session, stored in the record."""
        return {}

    def epoch_log(self) -> dict[str, float]:
        """The method's own numbers after an epoch. Called only if a study draws them; must not change anything."""
        return {}

    def represent(self, features: Tensor) -> list[Tensor]:
        """Maps backbone features [N, d] to the input of each head, the base head's first. Called only if a study measures or draws it."""
        return [self.model.projection(features)]

    def embed(self, images: Tensor) -> Tensor:
        """Maps test or training images [N, C, S, S] to backbone features [N, d]."""
        return self.model.embed(images)

    def scores(self, features: Tensor) -> Tensor:
        """Maps backbone features [N, d] to scores [N, classes seen]; the class with the highest score is predicted."""
        return self.model.classify(features)

    # What hooks may use ------------------------------------------------------------------------------------------------------

    @property
    def own_indices(self) -> Tensor:
        """Indices of the training images of the current session."""
        return torch.tensor(list(self.experience.dataset.image_index), dtype=torch.int64)

    @property
    def old_classes(self) -> int:
        """Number of classes of all earlier sessions."""
        return self.context.sessions.span(self.session).start

    @property
    def classes_by_session(self) -> list[int]:
        """Number of classes that each session so far has added, the current one last."""
        return [len(self.context.sessions.span(number)) for number in range(self.session + 1)]

    @property
    def classes_seen(self) -> int:
        """Number of classes seen, including those of the current session."""
        return self.context.sessions.span(self.session).stop

    def embed_indices(self, indices: Tensor) -> Tensor:
        """Features [n, d] of the training images `indices` under the test transform."""
        if type(self).embed is Hooks.embed and not self.model.training:
            stored = self.context.images.stored_features(indices, self.model)
            if stored is not None:
                return stored
        return torch.cat([self.embed(self.context.images.plain(part)) for part in self.context.images.pieces(indices)])
