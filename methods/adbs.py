"""ADBS: a learned margin per class shapes the decision boundary (adaptive decision boundaries, AAAI 2025; docs/modern.md 2.5)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bases.cosine import FIXED_16
from methods.contract import SessionStrategy, TrainConfig
from methods.parts.features import class_means
from protocols.fields import MOST_EPOCHS


class Adbs(SessionStrategy):
    """Logits are 16 |m_c| cos. In a session the row of a new class is its mean, its margin starts at the mean of all earlier ones, and only
    the new margins train, with cross-entropy and the separation of margins. The base trains its margins, too.

    Base rows are class means, as in CEC's family (`base_rows: trained` leaves the trained ones; the source takes the best of both).
    """

    title = "ADBS"
    group = "modern"
    base = "cosine"
    bases = {"cosine": {**FIXED_16, "margins": True, "margin_rate": 0.01}}  # the source has 1: docs/CHOICES.md
    trains = "none"
    trains_rows = "new"

    class Config(TrainConfig):
        epochs: int = Field(10, ge=0, le=MOST_EPOCHS)  # 10 on CIFAR-100, 1 on CUB-200, 6 on miniImageNet
        lr: float = Field(0.01, gt=0)  # .1 on miniImageNet
        nesterov: bool = False
        dampening: float = Field(0.9, ge=0, le=1)
        separation: float = Field(0.01, ge=0)
        base_rows: Literal["mean", "trained"] = "mean"

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if not hasattr(network.head, "margin"):
            raise ValueError("adbs: its base must have margins: --set cosine.margins=true, on base kind cosine")

    def before_session(self) -> None:
        self.now.means = class_means(self.embed_indices(self.own_indices), self.context.images.labels(self.own_indices))

    def head_grown(self) -> None:
        head, old = self.model.head, self.old_classes
        head.weight.data[old:] = self.now.means
        head.margin.data[old:] = head.margin.data[:old].mean()

    def trainable(self) -> list[nn.Parameter]:
        return [self.model.head.margin]

    def session_loss(self) -> Tensor:
        return F.cross_entropy(self.mb_output, self.mb_y) + self.config.separation * self.model.head.separation()

    def after_session(self) -> None:
        if self.session == 0 and self.config.base_rows == "mean":
            self.model.head.weight.data[:] = self.now.means

    def session_log(self) -> dict[str, float]:
        """Mean of the margins."""
        return {"margin": float(self.model.head.margin.detach().mean())}
