"""Common base of iCaRL, EEIL, LUCIR ("NCM") and TOPIC: exemplars, the network before the session, training of the last block.

Each of these names has two variants. TOPIC's tables adapt the first three: 400 random base images and one image per novel class
are kept *beside* the shots, un-augmented, and enter only the distillation terms; only the last block and the head are trained
(docs/methods.md 3.1). The original papers mix herded exemplars *into* the training batches and train everything.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig, Trains
from methods.parts.exemplars import herding, random_choice
from methods.parts.losses import of_new_classes
from methods.parts.network import frozen_copy
from protocols.fields import MOST_EPOCHS, Milestones
from protocols.schema import Sessions


class RehearsalConfig(TrainConfig):
    """Defaults are TOPIC's: Nesterov SGD, rate .1 for 70 epochs with a drop at 60, batch norm in training mode in the last block only."""

    epochs: int = Field(70, ge=0, le=MOST_EPOCHS)
    milestones: Milestones = (60,)
    batch_norm: Literal["eval", "train", "last_block"] = "last_block"
    new_row_std: float | None = Field(0.001, ge=0)
    train: Literal["all", "last_block"] = "last_block"
    freeze_old_rows: bool = False
    replay: Literal["beside", "within"] = "beside"
    choose: Literal["random", "herding"] = "random"
    base_exemplars: int = Field(400, ge=0)  # random choice: base images in total
    novel_exemplars: int = Field(1, ge=0)  # random choice: images per novel class
    per_class: int = Field(5, ge=1)  # herding: images per class, base and novel

    @model_validator(mode="after")
    def _frozen_below(self) -> Self:
        if self.train == "last_block" and self.batch_norm == "train":
            raise ValueError("train last_block freezes what is below it: batch_norm must be last_block or eval, or train: all")
        return self


class RehearsalStrategy(SessionStrategy):
    """`anchors` are exemplars of earlier sessions; `old_features` and `old_logits` come from the network before this session."""

    Config = RehearsalConfig

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        if config.choose == "herding":
            return int(config.per_class * sessions.classes)
        return int(config.base_exemplars + config.novel_exemplars * sessions.way * sessions.count)

    def before_session(self) -> None:
        if not self.session:
            return
        if self.config.replay == "within":
            self.now.teacher = frozen_copy(self.model)
            return
        # Anchors are not augmented and the lower layers are frozen, so their outputs are computed once.
        indices = self.context.memory.indices
        self.now.anchors = self.below(indices)
        self.now.anchor_labels = self.context.images.labels(indices)
        self.now.old_features = self.embed_anchors()
        self.now.old_logits = self.model.classify(self.now.old_features)

    def below(self, indices: Tensor) -> Tensor:
        """The images `indices`, un-augmented, or outputs of the part of the backbone that is not trained for them."""
        if self.part == "none":
            return self.embed_indices(indices)
        images = [self.context.images.plain(part) for part in self.context.images.pieces(indices)]
        return torch.cat([self.model.embed_lower(part) if self.part == "last_block" else part for part in images])

    def embed_anchors(self) -> Tensor:
        """Features [n, d] of the anchors under the current network."""
        anchors: Tensor = self.now.anchors
        if self.part == "none":
            return anchors
        return self.model.embed_upper(anchors) if self.part == "last_block" else self.model.embed(anchors)

    def old_and_now(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features and logits of the old network, then of the current one: on the anchors, or on the batch if it contains the exemplars."""
        if self.config.replay == "beside":
            features = self.embed_anchors()
            return self.now.old_features, self.now.old_logits, features, self.model.classify(features)
        with torch.no_grad():
            old_features = self.embed_batch(self.now.teacher)
            old_logits = self.now.teacher.classify(old_features)
        return old_features, old_logits, self.now.features, self.mb_output

    def trained_part(self) -> Trains:
        return self.config.train

    def session_indices(self) -> Tensor:
        return torch.cat([self.context.memory.indices, self.own_indices]) if self.config.replay == "within" else self.own_indices

    def frozen_classes(self) -> int:
        return self.old_classes if self.config.freeze_old_rows else 0

    def cross_entropy(self) -> Tensor:
        """Over all classes seen; of a method whose `old_logits` are constant, without a gradient through those of old classes."""
        if self.config.old_logits == "constant":
            return of_new_classes(self.mb_output, self.mb_y, self.old_classes)
        return F.cross_entropy(self.mb_output, self.mb_y)

    def keep_exemplars(self) -> None:
        """Choose this session's exemplars and add them to the memory."""
        c, indices = self.config, self.own_indices
        if c.choose == "random" and not self.session:
            self.context.memory.keep(indices[random_choice(len(indices), c.base_exemplars)])
            return
        labels = self.context.images.labels(indices).cpu()
        features = self.embed_indices(indices) if c.choose == "herding" else None
        for label in self.context.sessions.span(self.session):
            of_class = (labels == label).nonzero().squeeze(1)
            if features is None:
                picked = random_choice(len(of_class), c.novel_exemplars)
            else:
                picked = herding(features[of_class.to(features.device)], c.per_class)
            self.context.memory.keep(indices[of_class[picked]])

    def after_session(self) -> None:
        self.keep_exemplars()
