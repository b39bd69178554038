"""NCM in TOPIC's and LEC-Net's tables: LUCIR (Hou et al., CVPR 2019), not a class-mean rule (docs/methods.md 4.5).

The name comes from those tables. The nearest-class-mean classifier is `proto`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from methods.families.rehearsal import RehearsalConfig, RehearsalStrategy
from methods.parts.heads import CosineHead, unit


class Ncm(RehearsalStrategy):
    """`topic`: cross-entropy and less-forget loss on the anchors. `original`: LUCIR with cosine head, less-forget and margin loss.

    In `topic` the weights of old classes are frozen (not on miniImageNet). `original` starts from a base model with a cosine head.
    Its learned scale is frozen after the base session, because it explodes on 25 images. The backbone keeps its last ReLU, which
    LUCIR drops.
    """

    title = "NCM"

    class Config(RehearsalConfig):
        freeze_old_rows: bool = True
        old_logits: Literal["trained", "constant"] = "trained"  # constant: TOPIC's code beside --fw (docs/REPRODUCTION.md)
        less_forget: float = Field(50.0, ge=0)  # 50 on CIFAR, 1 on miniImageNet and CUB
        less_forget_grows: bool = False  # lambda = less_forget * sqrt(|old| / |new|), LUCIR section 3.3
        margin_weight: float = Field(0.0, ge=0)
        margin: float = Field(0.5, ge=0)
        margin_classes: int = Field(2, ge=1)  # K hardest new classes
        imprint: bool = False  # initialise the weights of new classes with the mean direction of their images

        @model_validator(mode="after")
        def _margin_within(self) -> Self:
            if self.margin_weight and self.replay == "beside":
                raise ValueError("margin_weight needs replay: within (preset original), since exemplars of the batch are ranked")
            return self

    presets = {
        "topic": {},
        "original": {
            "less_forget": 5.0,
            "less_forget_grows": True,
            "margin_weight": 1.0,
            "imprint": True,
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
    base = {"original": "cosine"}

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if self.config.margin_weight and not isinstance(network.head, CosineHead):
            raise ValueError("ncm: the margin loss compares cosines, so it needs the cosine head of preset original")

    def before_session(self) -> None:
        super().before_session()
        if self.session and self.config.imprint:
            labels, features = self.context.images.labels(self.own_indices), unit(self.embed_indices(self.own_indices))
            self.now.imprints = [features[labels == label].mean(0) for label in self.context.sessions.span(self.session)]

    def head_grown(self) -> None:
        if self.config.imprint:
            weight = self.model.head.weight.data
            length = weight[: self.old_classes].norm(dim=1).mean()
            for label, direction in zip(self.context.sessions.span(self.session), self.now.imprints, strict=True):
                weight[label] = length * unit(direction)

    def trainable(self) -> list[Any]:
        """All parameters that RehearsalStrategy trains, except the head's scale."""
        scale = getattr(self.model.head, "scale", None)
        return [p for p in super().trainable() if p is not scale]

    def session_loss(self) -> Tensor:
        c = self.config
        old_features, _, features, _ = self.old_and_now()
        forget = 1 - F.cosine_similarity(features, old_features).mean()
        loss = self.cross_entropy() + self.less_forget_weight() * forget
        if c.margin_weight:
            cosines = self.mb_output / self.model.head.scale.detach()
            loss = loss + c.margin_weight * margin_ranking(cosines, self.mb_y, self.old_classes, c.margin_classes, c.margin)
        return loss

    def less_forget_weight(self) -> float:
        """Lambda: fixed, or growing with the ratio of old to new classes (LUCIR, section 3.3)."""
        c = self.config
        return float(c.less_forget * (math.sqrt(self.old_classes / self.context.sessions.way) if c.less_forget_grows else 1.0))


def margin_ranking(cosines: Tensor, labels: Tensor, old: int, hardest: int, margin: float) -> Tensor:
    """LUCIR's Eq. 8: exemplars of old classes keep `margin` between their class and the `hardest` nearest new classes.

    `cosines` is [N, seen]; its first `old` columns are the old classes. Returns the mean over pairs, 0 if the batch has no exemplar.
    """
    exemplars = (labels < old)[:, None]
    own = cosines.gather(1, labels[:, None])
    rivals = cosines[:, old:].topk(min(hardest, cosines.shape[1] - old), dim=1).values
    lacking = F.relu(margin - own + rivals) * exemplars  # a mask, not indexing: no GPU synchronisation to count the exemplars
    return lacking.sum() / (exemplars.sum() * rivals.shape[1]).clamp_min(1)
