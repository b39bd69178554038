"""Cross-entropy in which novel and base images count as groups, however many of each a batch holds."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pulled_by_groups(logits: Tensor, labels: Tensor, base: int, novel_weight: float, base_weight: float) -> Tensor:
    """novel_weight * (mean over the images of classes from `base` on) + base_weight * (mean over the others); a group without images
    adds nothing. `logits` [B, classes], `labels` [B] (OrCo's released sessions, and ConCM's: docs/modern.md 2.3, 2.6)."""
    each, novel = F.cross_entropy(logits, labels, reduction="none"), (labels >= base).float()
    groups = ((novel_weight, novel), (base_weight, 1 - novel))
    return sum((weight * (each * of).sum() / of.sum().clamp(min=1) for weight, of in groups), logits.new_zeros(()))
