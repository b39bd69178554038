"""LwF: learning without forgetting (Li and Hoiem, ECCV 2016), class-incremental as in mammoth (docs/methods.md 6.10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.losses import distillation
from methods.parts.network import Network, frozen_copy, set_batch_norm
from protocols.fields import MOST_EPOCHS


class Lwf(SessionStrategy):
    """Cross-entropy over all seen classes + distillation of the old classes on the session's images, after a warm-up.

    The warm-up trains only the weights of the new classes. It leaves the old logits unchanged, so the teacher is the network as it was
    before the session.
    """

    title = "LwF"

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        warmup_epochs: int = Field(1, ge=0, le=MOST_EPOCHS)
        distill_weight: float = Field(1.0, ge=0)
        distill_temperature: float = Field(2.0, gt=0)

    presets = {"mammoth": {}}
    version = 2  # the warm-up of 1 trained all of a head, a learned scale too

    def adopt(self, network: Network) -> None:
        super().adopt(network)
        if self.config.warmup_epochs and not network.head.reads_rows:
            raise ValueError("lwf: the head of its base does not read the rows that the warm-up would train; set warmup_epochs=0")

    def before_session(self) -> None:
        self.warming_up = self.config.warmup_epochs > 0  # Avalanche's clock still holds last session's counts
        if self.session:
            self.now.teacher = frozen_copy(self.model)

    def session_epochs(self) -> int:
        return int(self.config.warmup_epochs + self.config.epochs)

    def first_phase_epochs(self) -> int:
        return int(self.config.warmup_epochs or self.config.epochs)

    def before_epoch(self, epoch: int) -> None:
        self.warming_up = epoch < self.config.warmup_epochs
        if epoch and epoch == self.config.warmup_epochs:
            self.restart(self.config.lr)

    def set_modes(self) -> None:
        super().set_modes()
        if self.warming_up:  # only the weights of new classes change; batch statistics are frozen too
            set_batch_norm(self.model, False)

    def finished(self) -> bool:
        return not self.warming_up and super().finished()

    def trainable(self) -> Iterable[nn.Parameter]:
        return self.model.head.class_tensors() if self.warming_up else super().trainable()

    def frozen_classes(self) -> int:
        return self.old_classes if self.warming_up else 0

    def session_loss(self) -> Tensor:
        c = self.config
        if self.warming_up:  # over the session's own classes only
            old = self.frozen_classes()
            return F.cross_entropy(self.mb_output[:, old:], self.mb_y - old)
        with torch.no_grad():
            teacher = self.now.teacher.classify(self.embed_batch(self.now.teacher))
        loss = F.cross_entropy(self.mb_output, self.mb_y)
        return loss + c.distill_weight * distillation(self.mb_output, teacher, c.distill_temperature)
