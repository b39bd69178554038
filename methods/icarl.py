"""iCaRL (Rebuffi et al., CVPR 2017), and what TOPIC's tables call iCaRL* (docs/methods.md 4.3)."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from methods.families.rehearsal import RehearsalConfig, RehearsalStrategy
from methods.parts.features import class_means
from methods.parts.heads import unit
from methods.parts.losses import distillation


class ICarl(RehearsalStrategy):
    """`topic`: cross-entropy on the shots, distillation on the anchors, argmax. `original`: sigmoids, nearest mean of exemplars.

    Few-shot papers print `topic` as iCaRL*: it has no cross-entropy on exemplars and no nearest-mean classifier. `original` has
    the losses and classifier of the iCaRL paper, the rates of F2M's few-shot re-implementation, and five exemplars per class.
    """

    title = "iCaRL"

    class Config(RehearsalConfig):
        loss: Literal["softmax", "sigmoid"] = "softmax"
        predict: Literal["head", "nearest_mean"] = "head"
        distill_weight: float = Field(1.0, ge=0)
        distill_temperature: float = Field(2.0, gt=0)

        @model_validator(mode="after")
        def _rules_fit_exemplars(self) -> Self:
            if self.loss == "sigmoid" and self.replay == "beside":
                raise ValueError("loss sigmoid needs replay: within, since old sigmoids are targets on every image of a batch")
            if self.predict == "nearest_mean" and self.choose == "random":
                raise ValueError("predict nearest_mean needs choose: herding, or a class may have no exemplar")
            return self

    presets = {
        "topic": {},
        "original": {
            "loss": "sigmoid",
            "predict": "nearest_mean",
            "train": "all",
            "batch_norm": "train",
            "replay": "within",
            "choose": "herding",
            "epochs": 90,
            "milestones": [50, 70],
            "batch": 120,
            "new_row_std": None,
        },
    }

    def session_loss(self) -> Tensor:
        c = self.config
        _, old_logits, _, logits = self.old_and_now()
        if c.loss == "sigmoid":
            return sigmoid_loss(self.mb_output, self.mb_y, old_logits)
        return F.cross_entropy(self.mb_output, self.mb_y) + c.distill_weight * distillation(logits, old_logits, c.distill_temperature)

    def finished(self) -> bool:
        if self.now.best_epoch is not None:
            self.model.eval()
            with torch.no_grad():
                self.store_means(self.session_indices())
        return super().finished()

    def after_session(self) -> None:
        super().after_session()
        self.store_means(self.context.memory.indices)

    def store_means(self, indices: Tensor) -> None:
        if self.config.predict == "nearest_mean":
            means = normalised_means(self.embed_indices(indices), self.context.images.labels(indices))
            self.model.register_buffer("class_means", means)

    def scores(self, features: Tensor) -> Tensor:
        if self.config.predict == "head":
            return super().scores(features)
        return -torch.cdist(unit(features), self.model.class_means)


def sigmoid_loss(logits: Tensor, labels: Tensor, old_logits: Tensor) -> Tensor:
    """iCaRL's Algorithm 3 on logits [N, seen]: targets are the old network's sigmoids for old classes, the labels for new ones.

    The loss is summed over classes, as in the paper, and averaged over the batch.
    """
    targets = (labels[:, None] == torch.arange(logits.shape[1], device=labels.device)).to(logits)
    targets[:, : old_logits.shape[1]] = torch.sigmoid(old_logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()


def normalised_means(features: Tensor, labels: Tensor) -> Tensor:
    """Each class's mean of features [n, d] of length one, itself of length one: [classes, d], in order of the labels (Algorithm 1)."""
    return unit(class_means(unit(features), labels))
