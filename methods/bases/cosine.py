"""Base model with a cosine head: LUCIR's (docs/methods.md 4.5) and, with a fixed scale of 16, CEC's and its followers' (6.1)."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.heads import CosineHead, DotHead, MarginHead
from methods.parts.network import Network
from protocols.schema import Sessions

FIXED_16 = {"scale": 16.0, "scale_learns": False}
"""The temperature of CEC and the methods that follow it, for a method's `bases`."""


class Cosine(BaseKind):
    """Cross-entropy over scale * cos(feature, class weights). By default the scale starts at 1 and is trained, as in LUCIR."""

    class Config(KindConfig):
        rule: Literal["cosine", "dot"] = "cosine"  # dot: a bias-free linear layer, as WaRP's
        scale: float = Field(1.0, gt=0)
        scale_learns: bool = True
        margins: bool = False  # ADBS: a learned margin per class
        margin_rate: float = Field(1.0, gt=0, le=10)  # factor on the recipe's learning rate, for the margins
        separation: float = Field(0.01, ge=0)  # ADBS: weight of the loss that keeps margins apart

        @model_validator(mode="after")
        def _fits_the_rule(self) -> Self:
            if self.rule == "dot":
                self._refuse("rule dot has neither scale nor margins", "scale", "scale_learns", "margins")
            if not self.margins:
                self._refuse("without margins, their rate and separation have no effect", "margin_rate", "separation")
            return self

        def _refuse(self, reason: str, *idle: str) -> None:
            """Raises ValueError that says how to undo what has no effect, since the method may have set it, not the user."""
            defaults = {name: type(self).model_fields[name].default for name in idle if name in self.changed()}
            if defaults:
                undone = ", ".join(f"{name}={json.dumps(value)}" for name, value in defaults.items())
                raise ValueError(f"{reason}; set {undone}, as it is by default")

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        if c.rule == "dot":
            network.head = DotHead(d)
        else:
            network.head = (MarginHead if c.margins else CosineHead)(d, scale=c.scale, learns=c.scale_learns)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        if not self.config.margins:
            return super().groups(network)
        others = [parameter for parameter in network.parameters() if parameter is not network.head.margin]
        return [{"params": others}, {"params": [network.head.margin], "rate": self.config.margin_rate}]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        loss = super().loss(network, views, labels, step)
        return loss + self.config.separation * network.head.separation() if self.config.margins else loss
