"""SI: synaptic intelligence (Zenke et al., ICML 2017), class-incremental as in mammoth (methods.md 6.10)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.path_integral import PathIntegral, regrown


class Si(SessionStrategy):
    """Parameters that lowered the loss of earlier tasks are pulled back to where they were, by importance.

    importance Omega = sum over tasks of omega / (way² + xi), with omega the path integral of gradient and step; the gradient
    of c Omega (theta - theta*)² is added to the task's, then clipped by value. The base trains with the path integral kept.
    """

    title = "SI"

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        c: float = Field(1.0, ge=0)
        xi: float = Field(0.9, gt=0)
        clip: float = Field(1.0, gt=0)

    presets = {"mammoth": {}}
    bases = {"mammoth": "path"}

    @property
    def weights(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        network.register_buffer("importance", torch.zeros_like(network.path.omega))

    def before_session(self) -> None:
        self.sizes = [p.numel() for p in self.weights]

    def head_grown(self) -> None:
        """New indices have no importance yet; everything starts a new way from where it stands."""
        self.model.importance = regrown(self.model.importance, self.sizes, self.weights)
        self.model.path = PathIntegral(self.weights)

    def _before_update(self, **kwargs: Any) -> None:
        parameters, path = self.weights, self.model.path
        path.note_gradient(parameters)
        pull = 2 * self.config.c * self.model.importance * (path.before - path.start)
        for parameter, own in zip(parameters, pull.split([p.numel() for p in parameters]), strict=True):
            parameter.grad += own.view_as(parameter)
        nn.utils.clip_grad_value_(parameters, self.config.clip)
        super()._before_update(**kwargs)

    def _after_update(self, **kwargs: Any) -> None:
        super()._after_update(**kwargs)
        self.model.path.note_step(self.weights)

    def after_session(self) -> None:
        self.model.importance += self.model.path.importance(self.weights, self.config.xi)

    def session_log(self) -> dict[str, float]:
        """Mean importance, and its largest."""
        importance: Tensor = self.model.importance
        return {"importance_mean": float(importance.mean()), "importance_max": float(importance.max())}
