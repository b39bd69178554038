"""Joint-CNN: train on everything seen so far (Tao et al., CVPR 2020, section 4.2; docs/methods.md 4.2)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig


class JointCnn(SessionStrategy):
    """`topic`: the nominal upper bound as TOPIC ran it: warm start, all base images and all shots, no balancing.

    With 500 base images against 5 shots per class it hardly ever predicts a novel class, so its curve is BaseOnly's
    (docs/methods.md 2.1). `balanced` starts each session from the untrained network and repeats images of small classes, so that
    all classes have equal weight. `balance: loss` is Balanced Softmax (Ren et al., NeurIPS 2020, Eq. 4). Both presets keep all
    images and declare it.
    """

    title = "Joint-CNN"
    memory_budget = None
    capturable = True

    class Config(TrainConfig):
        batch: int | None = Field(128, ge=1)
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        new_row_std: float | None = Field(0.001, ge=0)
        from_scratch: bool = False
        balance: Literal["none", "loss", "sampling"] = "none"

    presets = {"topic": {}, "balanced": {"from_scratch": True, "balance": "sampling", "new_row_std": None}}

    def before_session(self) -> None:
        if self.session and self.config.from_scratch:
            fresh = self.context.untrained_network().to(self.context.device)
            fresh.head.new_row_std = self.config.new_row_std
            self.model.backbone.load_state_dict(fresh.backbone.state_dict())
            self.model.neck, self.model.head = fresh.neck, fresh.head  # the head has the base classes; it grows to the novel ones
            self.model.parts.update({name: fresh.parts[name] for name in self.model.parts})  # a head may share them

    def head_grown(self) -> None:
        """If classes are balanced, scale the weights of new classes to the mean norm of old ones (trained, or set by the recipe)."""
        if self.config.from_scratch or self.config.balance != "none":
            old = self.context.sessions.base if self.config.from_scratch else self.old_classes
            weight = self.model.head.weight.data
            weight[old:] *= weight[:old].norm(dim=1).mean() / weight[old:].norm(dim=1).mean()

    def session_indices(self) -> Tensor:
        indices = torch.cat([self.context.memory.indices, self.own_indices])
        labels = self.context.images.labels(indices).cpu()
        counts = torch.bincount(labels)
        self.class_counts = counts.to(self.context.device)
        if self.config.balance != "sampling":
            return indices
        repeats = (counts.max() / counts).round().long()
        return indices.repeat_interleave(repeats[labels])

    def session_loss(self) -> Tensor:
        if self.config.balance == "loss":
            return F.cross_entropy(self.mb_output + self.class_counts.log(), self.mb_y)
        return super().session_loss()

    def after_session(self) -> None:
        self.context.memory.keep(self.own_indices)
