"""Ridge regression on hidden features of a frozen network: sums over sessions, solved once a session (docs/modern.md 2.7)."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from methods.contract import FeatureMethod, MethodConfig
from methods.parts.features import one_hot
from methods.parts.ridge import held_out_errors, with_ridge

CHUNK = 2048  # features whose hidden features exist at once


class RidgeConfig(MethodConfig):
    """`ridge` is lambda. None: that power of ten from 10^`lowest` to 10^`highest` which errs least on a fifth of the base features, chosen
    in session 0 and then held; under `every_session`, chosen anew in each on its own features. `per_class`: an image weighs so much that
    each class has the weight of an average base class, whatever its number of images; else all images weigh the same."""

    ridge: float | None = Field(None, gt=0)
    lowest: int = Field(-8, ge=-12, le=12)
    highest: int = Field(8, ge=-12, le=12)
    every_session: bool = False
    per_class: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError("lowest must not exceed highest")
        return self


class Ridge(FeatureMethod):
    """Scores h(x) (G + lambda I)^-1 Q with G = sum h'h and Q = sum h'y over all images seen, in double precision.

    A subclass defines h in `hidden`; what h depends on is set in session 0, in `learn`, before it calls this class's.
    """

    Config = RidgeConfig
    gram: Tensor
    cross: Tensor

    def hidden(self, features: Tensor) -> Tensor:
        """Maps features [n, d] to hidden features [n, m], float64."""
        raise NotImplementedError

    def learn(self, features: Tensor, labels: Tensor) -> None:
        c, count = self.config, len(labels)
        if not self.session:
            self.images_per_base_class = count / self.classes_seen
        weights = self.images_per_base_class / labels.bincount()[labels] if c.per_class else torch.ones_like(labels)
        held_out, fitted = torch.randperm(count).to(labels.device).split([max(1, count // 5), count - max(1, count // 5)])
        (gram, cross), (held_gram, held_cross) = (self.sums(features[i], labels[i], weights[i].double()) for i in (fitted, held_out))
        if c.ridge is not None:
            self.ridge = float(c.ridge)
        elif not self.session or c.every_session:
            ridges = [10.0**power for power in range(c.lowest, c.highest + 1)]
            self.ridge = ridges[int(held_out_errors(gram, cross, held_gram, held_cross, ridges).argmin())]
        self.gram, cross = gram + held_gram + (self.gram if self.session else 0), cross + held_cross
        if self.session:
            cross[:, : self.old_classes] += self.cross
        self.cross = cross
        self.solution = torch.linalg.solve(with_ridge(self.gram, self.ridge), cross)

    def sums(self, features: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of h'h [m, m] and of h'y [m, classes seen]."""
        gram, cross = features.new_zeros(()).double(), features.new_zeros(()).double()
        for x, y, w in zip(features.split(CHUNK), labels.split(CHUNK), weights.sqrt()[:, None].split(CHUNK), strict=True):
            h = w * self.hidden(x)
            gram, cross = gram + h.T @ h, cross + h.T @ (w * one_hot(y, self.classes_seen))
        return gram, cross

    def session_log(self) -> dict[str, float]:
        return {"ridge": self.ridge}

    def scores(self, features: Tensor) -> Tensor:
        return self.hidden(features) @ self.solution
