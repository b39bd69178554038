"""EEIL (Castro et al., ECCV 2018), and what TOPIC's tables call EEIL* (docs/methods.md 4.4)."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from methods.families.rehearsal import RehearsalConfig, RehearsalStrategy
from methods.parts.losses import distillation
from methods.parts.network import frozen_copy
from protocols.fields import MOST_EPOCHS


class Eeil(RehearsalStrategy):
    """`topic`: iCaRL*'s loss and weak cross-entropy on the anchors. `original`: distillation per head, then balanced epochs.

    The head of an earlier session is its slice of the logits. In the balanced phase the training set is the memory, with equally
    many exemplars per class, and the teacher is the network after the first phase.
    """

    title = "EEIL"

    class Config(RehearsalConfig):
        anchor_weight: float = Field(0.004, ge=0)  # `oce`: .004 on CIFAR and CUB, .01 on miniImageNet
        distill_weight: float = Field(1.0, ge=0)
        distill_temperature: float = Field(2.0, gt=0)
        distill_heads: Literal["together", "each"] = "together"
        balanced_epochs: int = Field(0, ge=0, le=MOST_EPOCHS)  # milestones count from their start
        balanced_lr: float = Field(0.1, gt=0)  # as a fraction of lr
        # Adds noise * N(0, 1) / (1 + step)^.55 to gradients. The paper uses .3, for increments of thousands of images. The formula
        # follows FACIL, where the noise is off by default.
        noise: float = Field(0.0, ge=0)

        @model_validator(mode="after")
        def _phases_fit_replay(self) -> Self:
            if self.balanced_epochs and self.replay == "beside":
                raise ValueError("balanced_epochs need replay: within, since they train on the exemplars")
            if self.anchor_weight and self.replay == "within":
                raise ValueError("anchor_weight needs replay: beside; exemplars within the batch have their cross-entropy already")
            return self

    presets = {
        "topic": {},
        "original": {
            "anchor_weight": 0.0,
            "distill_heads": "each",
            "balanced_epochs": 40,
            "train": "all",
            "batch_norm": "train",
            "replay": "within",
            "choose": "herding",
            "epochs": 90,
            "milestones": [50, 70],
            "batch": 128,
            "new_row_std": None,
        },
    }

    balanced = False
    """Whether the session's balanced phase has begun."""

    def session_epochs(self) -> int:
        return int(self.config.epochs + self.config.balanced_epochs)

    def first_phase_epochs(self) -> int:
        return int(self.config.epochs)

    def before_epoch(self, epoch: int) -> None:
        self.balanced = epoch >= self.config.epochs
        if epoch == self.config.epochs:
            self.model.eval()
            with torch.no_grad():
                super().keep_exemplars()
            self.now.teacher = frozen_copy(self.model)
            self.load(self.context.memory.indices, f"session{self.session}/balanced", self.config.balanced_epochs)
            self.restart(self.config.lr * self.config.balanced_lr)

    def keep_exemplars(self) -> None:
        """Choose exemplars once per session: before the balanced phase, if it comes."""
        if not self.balanced:
            super().keep_exemplars()

    def session_loss(self) -> Tensor:
        c = self.config
        _, old_logits, _, logits = self.old_and_now()
        old = sum(distillation(logits[:, h], old_logits[:, h], c.distill_temperature) for h in self.heads())
        loss = F.cross_entropy(self.mb_output, self.mb_y) + c.distill_weight * old
        if c.anchor_weight:
            loss = loss + c.anchor_weight * F.cross_entropy(logits, self.now.anchor_labels)
        return loss

    def heads(self) -> list[slice]:
        """Slices of the teacher's logits, each distilled on its own."""
        last = self.session if self.balanced else self.session - 1
        spans = [self.context.sessions.span(number) for number in range(last + 1)]
        return [slice(s.start, s.stop) for s in spans] if self.config.distill_heads == "each" else [slice(0, spans[-1].stop)]

    def before_update(self) -> None:
        if self.config.noise:
            scale = self.config.noise / (1 + self.clock.train_exp_iterations) ** 0.55
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:  # rows that the head of the base does not read have none
                        parameter.grad += scale * torch.randn_like(parameter)
