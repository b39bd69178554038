"""Proto: frozen backbone, one cosine prototype per class ("Decoupled-Cosine" in CEC's tables; docs/methods.md 6.1)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from methods.bases.cosine import FIXED_16
from methods.contract import FeatureMethod, MethodConfig
from methods.parts.features import class_means
from methods.parts.heads import unit
from methods.parts.network import Network


class Proto(FeatureMethod):
    """Nothing is trained after the base session. A prototype is the mean feature of a class's images under the test transform.

    Means are taken over un-normalised features and compared by cosine, as in CEC. The backbone is trained by the recipe.
    CEC trains its own with a cosine head: `proto@cosine`.
    """

    title = "Proto"

    class Config(MethodConfig):
        mean: Literal["raw", "unit"] = "raw"
        base_rows: Literal["mean", "trained"] = "mean"

    presets = {"raw_mean": {}, "norm_mean": {"mean": "unit"}}
    bases = {"cosine": FIXED_16}

    def adopt(self, network: Network) -> None:
        super().adopt(network)
        if self.config.base_rows == "trained" and not network.head.reads_rows:
            raise ValueError("proto: the head of its base does not read the rows that base_rows=trained would keep; leave it at mean")

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """The weights of this session's classes become their prototypes."""
        if self.session or self.config.base_rows == "mean":
            self.add_rows(class_means(unit(features) if self.config.mean == "unit" else features, labels))
