"""Losses that several methods share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def of_new_classes(logits: Tensor, labels: Tensor, old: int) -> Tensor:
    """Cross-entropy in which the logits of the first `old` classes are constants: they count, and nothing is trained through them."""
    return F.cross_entropy(torch.cat([logits[:, :old].detach(), logits[:, old:]], dim=1), labels)


def distillation(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Cross-entropy between softened teacher and student over the teacher's classes, without the T² factor.

    `logits` [N, seen] may have more columns than `teacher_logits` [N, old]. Only the first `old` columns are used, so that
    logits of new classes are neither decreased nor increased (docs/methods.md 7.2, trap 16). Mean over the batch.
    """
    old = teacher_logits.shape[1]
    targets = F.softmax(teacher_logits / temperature, dim=1)
    return F.cross_entropy(logits[:, :old] / temperature, targets)
