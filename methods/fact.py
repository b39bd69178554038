"""FACT: prototypes, and their likeness to virtual classes of the base session (Zhou et al., CVPR 2022; docs/methods.md 6.3)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.contract import FeatureMethod, MethodConfig
from methods.parts.heads import unit
from protocols.fields import Share


class Fact(FeatureMethod):
    """(1 - eta) softmax(scale * cos to the prototypes) + eta softmax(v), where v sums over virtual prototypes the feature's cosine to each
    (the `nearest` largest) times that one's product with the seen prototypes. v has no temperature, so its softmax is nearly flat.
    Session 0 is plain cosine. The released code normalises the prototypes along the classes (`unit_along: classes`): no cosines."""

    title = "FACT"
    group = "modern"
    base = "virtual"

    class Config(MethodConfig):
        eta: Share = 0.1
        scale: float = Field(16.0, gt=0)
        nearest: int = Field(40, ge=1, le=100_000)
        unit_along: Literal["classes", "features"] = "classes"

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if "virtual" not in network.parts:
            raise ValueError("fact: its base must have virtual classes, as base kind virtual has")

    def scores(self, features: Tensor) -> Tensor:
        c, cosines = self.config, super().scores(features)
        if not self.session:
            return cosines
        virtual = unit(self.model.parts["virtual"].rows)
        likeness = unit(features) @ virtual.T
        top = likeness.topk(min(c.nearest, likeness.shape[1]), dim=1)
        kept = likeness.new_zeros(likeness.shape).scatter(1, top.indices, top.values)
        through = kept @ virtual @ F.normalize(self.rows, dim=0 if c.unit_along == "classes" else 1).T
        return (1 - c.eta) * (c.scale * cosines).softmax(dim=1) + c.eta * through.softmax(dim=1)
