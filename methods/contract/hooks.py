"""The hooks that a method overrides, and the attributes and helpers that it may use in them.

A method is one file of methods/ with one class that derives from `SessionStrategy` (strategy.py), which calls these hooks in
Avalanche's life-cycle. Session 0 is the base session. Its model is already trained, so only the hooks around training are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract.config import MethodConfig, TrainConfig
from methods.contract.context import FrozenPart, MethodContext
from methods.contract.selection import Measured
from methods.parts.network import Network
from protocols.schema import Sessions
from protocols.training import Trains

AMOUNTS: tuple[Trains, ...] = ("none", "last_block", "all")


class Hooks:
    """Defaults of all hooks: train all parameters with cross-entropy on the session's shots."""

    title: ClassVar[str]
    group: ClassVar[str] = ""
    """Methods of a group, such as `modern`, take part only when asked (`--methods modern` or by name), and stand on the group's own page.
    A literal, like the title."""
    Config: ClassVar[type[MethodConfig]] = TrainConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    """Named settings; the first is the default. A literal, so that `--list` can read it without importing torch."""
    base: ClassVar[str | Mapping[str, str]] = "linear"
    """The base kind that the method starts from (methods/bases/); where presets differ, {preset: kind}, `linear` for those left out."""
    bases: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Base kind -> values of its Config when this method stands on it, its own kind or one named with `@KIND`."""
    memory_budget: ClassVar[int | None] = 0
    """Maximum number of exemplars from past sessions; None: all images."""
    version: ClassVar[int] = 1
    """Increase it when a change of the code or of a `Config` default changes results. Older records are then run again."""
    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
    """Version n -> function from Config values of version n to those of version n + 1, if runs of version n remain valid."""

    @classmethod
    def own_base(cls, preset: str) -> str:
        """The base kind of a preset."""
        return cls.base if isinstance(cls.base, str) else cls.base.get(preset, "linear")

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        """Maximum number of exemplars, like `memory_budget`. Override it if it depends on parameters or on the protocol."""
        return cls.memory_budget

    @classmethod
    def most_numbers(cls, config: Any, sessions: Sessions, width: int) -> int | None:
        """Maximum count of numbers (in vectors of `width`, covariances, ...) kept outside the network after a session; None: undeclared.

        What is kept is counted in any case; a method that declares a limit is held to it.
        """
        return None

    trains: ClassVar[Trains] = "all"
    """How much of the backbone a session trains, beside neck, parts and head. Freezing, what is computed once, and forward follow."""
    trains_rows: ClassVar[Literal["all", "new"]] = "all"
    """Whether a session trains the head's weights of all classes, or only those of its new ones."""

    capturable: ClassVar[bool] = False
    """Whether a GPU may record a training step once and replay it: its hooks use tensors alone, in place, and draw nothing."""

    context: MethodContext
    config: Any
    now: SimpleNamespace
    """For what only this session needs, such as a teacher: it is emptied when the session is over."""
    session: int
    """Number of the current session; 0 is the base session."""
    has_frozen_part: bool
    """Whether `mb_x` holds outputs of `frozen_part` instead of images."""
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

    def trained_part(self) -> Trains:
        """How much of the backbone this session trains. Override it where `trains` depends on parameters."""
        return self.trains

    @property
    def part(self) -> Trains:
        """How much of the backbone this session trains in fact: `trained_part`, but no more than the recipe allows."""
        return min(self.trained_part(), self.context.trains, key=AMOUNTS.index)

    def trainable(self) -> Iterable[nn.Parameter]:
        """Parameters that this session's optimiser gets; all others get no gradient. `self.clock` still holds last session's counts.

        Default: those of `part`, the neck, the parts and the head.
        """
        part = self.part
        if part == "all":
            return self.model.parameters()
        of_backbone = self.model.backbone.last_block.parameters() if part == "last_block" else ()
        return [*of_backbone, *self.model.neck.parameters(), *self.model.parts.parameters(), *self.model.head.parameters()]

    def frozen_part(self) -> FrozenPart | None:
        """Frozen part of the network whose outputs `self.mb_x` holds instead of images, or None. Default: what `part` leaves.

        It runs on many batches at once, with batch norm in evaluation mode. It is asked for whenever training images are loaded, first
        before the head grows. Never write into `self.mb_x`: under `views`, the same batch comes again. A method that returns another
        part overrides `embed_batch` to continue from its outputs.
        """
        if self.part == "last_block":
            return self.model.embed_lower
        still = self.context.trains == "none" or self.config.batch_norm == "eval"
        return self.model.embed if self.part == "none" and still else None

    def embed_batch(self, network: Network) -> Tensor:
        """Features [N, d] of the batch under `network`: the current one, or a teacher, which has the same frozen part."""
        if not self.has_frozen_part:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.part != "none"):
                return network.embed(self.mb_x)
        return self.mb_x if self.part == "none" else network.embed_upper(self.mb_x)

    def forward(self) -> Tensor:
        """Logits [N, classes seen] of the batch. `self.now.features` holds its features."""
        self.now.features = self.embed_batch(self.model)
        return self.model.classify(self.now.features)

    def frozen_classes(self) -> int:
        """Number of first classes whose weights stay bit-equal during the epoch although the head is trained."""
        return self.old_classes if self.trains_rows == "new" else 0

    def session_epochs(self) -> int:
        """Maximum number of epochs in a session."""
        return int(getattr(self.config, "epochs", 0))

    def first_phase_epochs(self) -> int:
        """Length of the phase of training with which a session begins. Override it if `before_epoch` begins another phase."""
        return self.session_epochs()

    def before_epoch(self, epoch: int) -> None:
        """Called before epoch `epoch` (from 0) of a session. Call `self.restart(lr)` here to begin another phase of training."""

    def before_update(self) -> None:
        """Called in each step after the backward pass, before the optimiser's step. Gradients may be changed here."""

    def after_update(self) -> None:
        """Called in each step after the optimiser's step. Parameters may be clamped here, for example."""

    def finished(self) -> bool:
        """Called after each epoch, in training mode. Returns True to end the session."""
        if self.now.best_epoch is not None:
            self.now.best_epoch.offer(self.model, self.measured())
        return False

    @property
    def may_measure(self) -> bool:
        """Whether accuracies are granted now, to choose this session's epoch by (`selection` val or oracle_test)."""
        return self.context.oracle is not None

    def measured(self) -> Measured:
        """Accuracies in percent that the epoch may be chosen by. Raises RuntimeError unless the runner has granted them."""
        if self.context.oracle is None:
            raise RuntimeError("accuracies are granted under selection val or oracle_test only")
        return self.context.oracle(self)

    def session_indices(self) -> Tensor:
        """Indices of the images that the session trains on. Default: its own. Add `self.context.memory.indices` to rehearse."""
        return self.own_indices

    def session_vectors(self) -> tuple[Tensor, Tensor] | None:
        """Stored vectors [m, ...] and their labels [m] to train on beside the images, or None. They have the shape of the frozen part's
        outputs. Where `session_indices` is empty, the session trains on them alone."""
        return None

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
        return [self.model.neck(features)]

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
